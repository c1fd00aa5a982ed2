//! What is shown of a server's text.

/// The beginning of a text, on one line and without control characters, which would act on a terminal.
pub fn shorten(text: &str) -> String {
    const SHOWN: usize = 300;
    let text = text.replace(
        |letter: char| letter.is_control() && !letter.is_whitespace(),
        "\u{fffd}",
    );
    let mut words = text.split_whitespace();
    let mut line = String::new();
    for word in &mut words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.chars().nth(SHOWN).is_some() {
            line = line.chars().take(SHOWN).collect();
            line.push_str("...");
            break;
        }
    }
    line
}
