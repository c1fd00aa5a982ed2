//! What to do about a reply.

use std::time::Duration;

use crate::http::shorten;
use crate::judge::client::Reply;
use crate::judge::completion::{self, Completion};

/// What a reply calls for.
#[derive(Debug)]
pub(super) enum Ruling {
    /// It is an answer.
    Good(Completion),
    /// The server is busy or broken for the moment; ask again, as late as it `asked`.
    Again {
        why: String,
        asked: Option<Duration>,
    },
    /// The server does not take this form of request.
    Refused(String),
    /// This question gets no answer, others may.
    Hopeless(String),
    /// No question gets an answer before someone sets it right; the remedy is in the text.
    Fatal(String),
}

impl Ruling {
    /// Rules on a reply to a request that has a simpler form left if it is `refusable`.
    pub(super) fn of(reply: &Reply, refusable: bool) -> Self {
        let (status, retry_after, location, body) = match reply {
            Reply::Broken {
                reason, too_large, ..
            } => {
                let why = reason.clone();
                return match too_large {
                    true => Self::Hopeless(why),
                    false => Self::Again { why, asked: None },
                };
            }
            Reply::Whole {
                status,
                retry_after,
                location,
                body,
            } => (*status, *retry_after, location, body),
        };
        if !(200..300).contains(&status) {
            let why = format!("HTTP {status}: {}", completion::error_message(body));
            let why = match location {
                Some(to) if (300..400).contains(&status) => {
                    format!("{why} (to {})", shorten(to))
                }
                _ => why,
            };
            return Self::of_status(status, why, retry_after, refusable);
        }
        match completion::read(body) {
            Ok(completion) => Self::Good(completion),
            Err(none) => match none.status {
                Some(status) => Self::of_status(status, none.reason, retry_after, refusable),
                None => Self::Again {
                    why: none.reason,
                    asked: retry_after,
                },
            },
        }
    }

    fn of_status(status: u16, why: String, asked: Option<Duration>, refusable: bool) -> Self {
        let of_format = ["response_format", "json_schema", "guided"]
            .iter()
            .any(|word| why.to_lowercase().contains(word));
        let remedy = match status {
            400 | 415 | 422 | 501 if refusable => return Self::Refused(why),
            500..600 if refusable && of_format => return Self::Refused(why),
            408 | 409 | 425 | 429 | 500..600 => return Self::Again { why, asked },
            413 => return Self::Hopeless(why),
            300..400 => {
                "redirects are not followed, so as not to give the key away; set base_url to the final address"
            }
            400 | 415 | 422 => {
                "the server refuses the request; check model_name, temperature, max_tokens_key and whether the \
                 prompts fit its context"
            }
            401 | 403 => {
                "check the key in the variable that api_key_env names, and what it may use"
            }
            402 => "the account behind the key has nothing left to spend",
            404 | 405 | 410 => "check base_url (it often ends in /v1) and model_name",
            _ => "is base_url that of an OpenAI-compatible server?",
        };
        Self::Fatal(format!("{why}; {remedy}"))
    }

    /// Hides the key in what was decoded, where parts of it may have come together.
    pub(super) fn hide(&mut self, hide: impl Fn(&str) -> String) {
        match self {
            Self::Good(completion) => completion.hide(hide),
            Self::Again { why, .. }
            | Self::Refused(why)
            | Self::Hopeless(why)
            | Self::Fatal(why) => *why = hide(why),
        }
    }

    /// What is wrong with the reply.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Good(_) => None,
            Self::Again { why, .. }
            | Self::Refused(why)
            | Self::Hopeless(why)
            | Self::Fatal(why) => Some(why),
        }
    }

    /// The tokens that a reply took: what the server counted, or else one for every 3 bytes where it may have
    /// worked at all. `sent` is that estimate of the request.
    pub(super) fn tokens(&self, reply: &Reply, sent: u64) -> u64 {
        let estimate = |body: &[u8]| sent.saturating_add(body.len() as u64 / 3);
        match (self, reply) {
            (Self::Good(completion), Reply::Whole { body, .. }) => {
                completion.tokens.unwrap_or_else(|| {
                    let text = completion.text.as_ref().map_or(0, String::len);
                    estimate(&body[..text.min(body.len())])
                })
            }
            (_, Reply::Whole { status, body, .. }) if (200..300).contains(status) => estimate(body),
            (
                _,
                Reply::Broken {
                    connected: true,
                    body,
                    ..
                },
            ) => estimate(body),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruling(status: u16, body: &str, refusable: bool) -> Ruling {
        let reply = Reply::Whole {
            status,
            retry_after: None,
            location: None,
            body: body.into(),
        };
        Ruling::of(&reply, refusable)
    }

    #[test]
    fn each_status_has_its_consequence() {
        for status in [408, 409, 425, 429, 500, 502, 503, 504, 529, 599] {
            let ruling = ruling(status, "", true);
            assert!(
                matches!(ruling, Ruling::Again { .. }),
                "{status}: {ruling:?}"
            );
        }
        for status in [301, 302, 307, 308, 401, 402, 403, 404, 405, 418, 451] {
            let ruling = ruling(status, "", true);
            assert!(matches!(ruling, Ruling::Fatal(_)), "{status}: {ruling:?}");
        }
        for status in [400, 415, 422] {
            assert!(matches!(ruling(status, "", true), Ruling::Refused(_)));
            assert!(matches!(ruling(status, "", false), Ruling::Fatal(_)));
        }
        assert!(matches!(ruling(501, "", true), Ruling::Refused(_)));
        assert!(matches!(ruling(501, "", false), Ruling::Again { .. }));
        let of_format = r#"{"error":{"message":"no response_format here"}}"#;
        assert!(matches!(ruling(500, of_format, true), Ruling::Refused(_)));
        assert!(matches!(
            ruling(500, of_format, false),
            Ruling::Again { .. }
        ));
        assert!(matches!(ruling(413, "", true), Ruling::Hopeless(_)));
        let hidden = r#"{"error":{"message":"who are you","code":401}}"#;
        let Ruling::Fatal(why) = ruling(200, hidden, false) else {
            panic!("an error under a status of 200 is still one");
        };
        assert!(
            why.contains("who are you") && why.contains("api_key_env"),
            "{why}"
        );
    }
}
