//! Jinja templates as transformers renders them: Jinja2 over Python's values, in its sandbox, within bounds.
//!
//! A template comes with a model or from a user and is a program: it may loop for ever or fill the memory. Steps, bytes,
//! output and nesting are bounded ([`meter`]), and it runs on a thread whose stack is large enough for the nesting that
//! is allowed. What Jinja2 can do and this cannot is an error by name when the template is read, or where it is run.
//!
//! From the bottom: a [`meter`] counts what [`value`]s use; [`access`] finds what is within them; [`number`], [`ops`] and
//! [`json`] write and reckon; [`methods`], [`filters`], [`predicates`] and [`functions`] are what templates name, none of
//! which knows of a rendering; [`eval`] runs what [`parser`] read.
//!
//! Reference: Jinja2 3.1 (`ImmutableSandboxedEnvironment`) as set up in `transformers/utils/chat_template_utils.py`.

mod access;
mod ast;
mod dates;
mod error;
mod eval;
mod filters;
mod functions;
mod given;
mod json;
mod lexer;
mod meter;
mod methods;
mod number;
mod ops;
mod parser;
mod predicates;
mod sort;
mod value;

#[cfg(test)]
mod rendered_tests;

use std::collections::HashSet;
use std::rc::Rc;

use serde_json::Map;

pub use dates::Day;
pub use error::{Error, ErrorKind};

use ast::Body;
use error::Result;
use eval::Run;
use lexer::Kind;
use meter::Meter;
use parser::Parser;
use value::Variables;

/// Bytes of a template's source.
const MAX_SOURCE: usize = 1 << 20;

/// Stack of the thread that reads and renders: the nesting that is allowed takes about half of it.
const STACK_BYTES: usize = 32 << 20;

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    body: Body,
    strict: bool,
    generation: bool,
    words: HashSet<String>,
}

/// What a rendering gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    /// Ranges of bytes that the template marks with `{% generation %}`.
    pub marked: Vec<(usize, usize)>,
    /// Whether it marks a part whose place in the text is not known, such as one in a macro.
    pub marked_elsewhere: bool,
    /// Whether it asked for the day.
    pub asked_day: bool,
}

impl Template {
    /// Reads a template, in which a variable that is missing prints as nothing, as in transformers.
    ///
    /// # Errors
    /// A source that is too long or nested too deep, that is not Jinja, or names what is not supported.
    pub fn new(source: &str) -> Result<Self> {
        Self::read(source, false)
    }

    /// Reads a template in which a variable that is missing is an error.
    ///
    /// # Errors
    /// As [`Template::new`].
    pub fn strict(source: &str) -> Result<Self> {
        Self::read(source, true)
    }

    fn read(source: &str, strict: bool) -> Result<Self> {
        if source.len() > MAX_SOURCE {
            let (bytes, most) = (source.len(), MAX_SOURCE >> 20);
            return Err(Error::bound(format!(
                "it has {bytes} bytes; at most {most} MB are read"
            )));
        }
        on_own_stack(|| {
            let tokens = lexer::tokens(source)?;
            let words = tokens.iter().filter_map(|token| match &token.kind {
                Kind::Name(word) | Kind::Text(word) => Some(word.clone()),
                _ => None,
            });
            let words = words.collect();
            let mut parser = Parser::new(tokens);
            Ok(Self {
                body: parser.template()?,
                strict,
                generation: parser.generation,
                words,
            })
        })
    }

    /// Whether it marks what is scored with `{% generation %}`.
    pub fn marks(&self) -> bool {
        self.generation
    }

    /// Whether a name or a text of its tags is `word`.
    pub fn names(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    /// Renders it with variables, on a given day.
    ///
    /// # Errors
    /// What the template refuses, cannot do, or takes too long or too much memory for.
    pub fn render(&self, variables: &Map<String, serde_json::Value>, day: Day) -> Result<Rendered> {
        on_own_stack(|| self.render_here(variables, day))
    }

    fn render_here(
        &self,
        variables: &Map<String, serde_json::Value>,
        day: Day,
    ) -> Result<Rendered> {
        let meter = Meter::default();
        let given = Variables::default();
        for (name, value) in variables {
            given
                .own
                .borrow_mut()
                .insert(name.as_str().into(), meter.json(value)?);
        }
        let mut run = Run::new(&meter, self.strict, day);
        run.template(&self.body, Rc::new(given))?;
        Ok(Rendered {
            text: run.out,
            marked: run.marked,
            marked_elsewhere: run.marked_elsewhere,
            asked_day: run.today.asked.get(),
        })
    }
}

/// Runs `work` on a thread with a stack of its own.
fn on_own_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work);
        let thread =
            thread.map_err(|error| Error::operation(format!("no thread to render on: {error}")))?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
