//! A chat completion as servers send it, sound or not.

use serde::Deserialize;
use serde_json::Value;

use crate::http::shorten;

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Completion {
    /// The text, or why there is none.
    pub(super) text: Result<String, String>,
    /// The server cut the text off, so that its end may be missing.
    pub(super) cut: bool,
    /// What the server counted.
    pub(super) tokens: Option<u64>,
}

impl Completion {
    /// Hides the key in the text.
    pub(super) fn hide(&mut self, hide: impl Fn(&str) -> String) {
        let (Ok(text) | Err(text)) = &mut self.text;
        *text = hide(text);
    }
}

/// Why a body is no chat completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoCompletion {
    /// The status that the body itself names, as some proxies do under a status of 200.
    pub(super) status: Option<u16>,
    pub(super) reason: String,
}

// A field given twice is an error of serde's, as it should be: neither is to be preferred.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Message>,
    #[serde(default)]
    finish_reason: Option<Value>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    refusal: Option<Value>,
}

/// Reads a body. A byte order mark in front is passed over.
pub(super) fn read(body: &[u8]) -> Result<Completion, NoCompletion> {
    let none = |reason: String| NoCompletion {
        status: None,
        reason: shorten(&reason),
    };
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let body = body.trim_ascii();
    if !body.starts_with(b"{") {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]);
        return Err(none(match shown.is_empty() {
            true => "the answer is empty".into(),
            false => format!("the answer is not a JSON object but {shown:?}"),
        }));
    }
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| none(format!("the answer is no chat completion: {error}")))?;
    let first = envelope.choices.into_iter().flatten().next();
    let Some(message) = first.as_ref().and_then(|choice| choice.message.as_ref()) else {
        return Err(match envelope.error {
            None | Some(Value::Null) => none("the answer holds no message".into()),
            Some(error) => NoCompletion {
                status: status(&error),
                reason: format!("the answer is an error: {}", error_text(&error)),
            },
        });
    };
    let finish = first
        .as_ref()
        .and_then(|choice| choice.finish_reason.as_ref());
    let finish = finish.and_then(Value::as_str);
    Ok(Completion {
        text: text(message, finish),
        cut: finish == Some("length"),
        tokens: envelope.usage.as_ref().and_then(tokens),
    })
}

fn text(message: &Message, finish: Option<&str>) -> Result<String, String> {
    let text = match &message.content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(part).collect(),
        _ => String::new(),
    };
    if !text.trim().is_empty() {
        return Ok(text);
    }
    Err(match (&message.refusal, finish) {
        (Some(Value::String(refusal)), _) => format!("refused: {}", shorten(refusal)),
        (_, Some(finish)) => format!("no text (finish_reason {:?})", shorten(finish)),
        _ => "no text".into(),
    })
}

/// The text of one part of a content given in parts; what a model thought is none.
fn part(part: &Value) -> Option<&str> {
    match part {
        Value::String(text) => Some(text),
        part => match part["type"].as_str() {
            None | Some("text" | "output_text") => part["text"].as_str(),
            Some(_) => None,
        },
    }
}

/// The total of a `usage`; a total of nothing is no count.
fn tokens(usage: &Value) -> Option<u64> {
    let count = |name: &str| usage[name].as_u64().filter(|count| *count > 0);
    count("total_tokens")
        .or_else(|| count("prompt_tokens")?.checked_add(count("completion_tokens")?))
}

fn status(error: &Value) -> Option<u16> {
    let code = error["code"].as_u64().or_else(|| error["status"].as_u64());
    code.and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..600).contains(code))
}

/// What an error body says, in a line.
pub(super) fn error_message(body: &[u8]) -> String {
    let error = match serde_json::from_slice::<Value>(body) {
        Ok(value) => ["error", "detail", "message"]
            .iter()
            .find_map(|name| value.get(name).map(error_text))
            .unwrap_or_else(|| value.to_string()),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    shorten(&error)
}

fn error_text(error: &Value) -> String {
    let message = error["message"].as_str().or_else(|| error.as_str());
    shorten(&message.map_or_else(|| error.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(content: &str) -> Completion {
        let body = format!(r#"{{"choices":[{{"message":{{"content":{content}}}}}]}}"#);
        read(body.as_bytes()).unwrap()
    }

    #[test]
    fn text_is_found_in_whatever_form_it_comes() {
        assert_eq!(content(r#""hi""#).text, Ok("hi".into()));
        let parts = r#"[{"type":"reasoning","text":"[[1]]"},{"type":"text","text":"a"},"b",{"text":"c"},7]"#;
        assert_eq!(content(parts).text, Ok("abc".into()));
        for none in ["null", "[]", "7", "{}", r#"" \n""#] {
            assert_eq!(content(none).text, Err("no text".into()), "{none}");
        }
        let body = r#"{"choices":[{"message":{"content":null,"refusal":"I cannot."},"finish_reason":"stop"}]}"#;
        assert_eq!(
            read(body.as_bytes()).unwrap().text,
            Err("refused: I cannot.".into())
        );
        let marked = [b"\xef\xbb\xbf \n", body.as_bytes()].concat();
        assert!(read(&marked).is_ok());
    }

    #[test]
    fn what_is_no_completion_says_why() {
        let deep = format!("{{\"usage\":{}", "[".repeat(100_000));
        for (body, expected) in [
            ("", "empty"),
            ("<html>no</html>", "not a JSON object but \"<html>"),
            ("data: {}", "not a JSON object"),
            (
                "[[{\"message\":{\"content\":\"[[1]]\"}}]]",
                "not a JSON object",
            ),
            ("{\"choices\":[]}", "no message"),
            ("{\"choices\":null}", "no message"),
            ("{\"choices\":[{\"text\":\"[[1]]\"}]}", "no message"),
            ("{\"choices\":\"x\"}", "no chat completion"),
            ("{\"choices\":[],\"choices\":[]}", "duplicate field"),
            ("{\"choices\":[{\"mess", "EOF"),
            (deep.as_str(), "recursion limit"),
        ] {
            let reason = read(body.as_bytes()).unwrap_err().reason;
            assert!(reason.contains(expected), "{reason}");
        }
        let error = read(br#"{"error":{"message":"slow\ndown","code":429}}"#).unwrap_err();
        assert_eq!(error.status, Some(429));
        assert!(error.reason.ends_with("slow down"), "{}", error.reason);
        assert!(read(b"{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}").is_err());
    }

    #[test]
    fn only_a_usage_that_counts_something_is_believed() {
        for (usage, expected) in [
            ("null", None),
            ("{}", None),
            (r#"{"total_tokens":12}"#, Some(12)),
            (r#"{"total_tokens":0}"#, None),
            (r#"{"total_tokens":-5}"#, None),
            (r#"{"total_tokens":"12"}"#, None),
            (r#"{"total_tokens":1e400}"#, None),
            (r#"{"prompt_tokens":3,"completion_tokens":4}"#, Some(7)),
            (
                r#"{"prompt_tokens":18446744073709551615,"completion_tokens":4}"#,
                None,
            ),
        ] {
            let body =
                format!(r#"{{"usage":{usage},"choices":[{{"message":{{"content":"x"}}}}]}}"#);
            let tokens = read(body.as_bytes()).ok().and_then(|read| read.tokens);
            assert_eq!(tokens, expected, "{usage}");
        }
    }
}
