//! What several sections are made of.

use maud::{Markup, html};

/// A titled list of sentences; nothing when there are none.
pub fn list(title: &str, sentences: &[String]) -> Markup {
    html! {
        @if !sentences.is_empty() {
            section {
                h2 { (title) }
                ul.sentences { @for sentence in sentences { li { (sentence) } } }
            }
        }
    }
}

/// A box that scrolls sideways instead of the page; reachable by keyboard, hence the label.
pub fn scrolling(label: &str, content: Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(label) tabindex="0" { (content) }
    }
}
