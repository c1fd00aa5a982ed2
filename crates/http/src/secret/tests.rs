use super::*;

const KEY: &str = "sk-SECRET/abc+123=";

fn hidden(text: &str) -> String {
    String::from_utf8(Secret::new(KEY).hide(text.into())).unwrap()
}

/// What stands for each byte of the key.
fn spelled(spell: impl Fn(u8) -> String) -> String {
    KEY.bytes().map(spell).collect()
}

#[test]
fn a_key_is_hidden_in_every_spelling() {
    let json = spelled(|byte| format!("\\u{byte:04x}"));
    let percent = spelled(|byte| format!("%{byte:02X}"));
    for spelling in [
        KEY.to_owned(),
        KEY.to_lowercase(),
        KEY.to_uppercase(),
        KEY.chars().rev().collect(),
        KEY.replace('/', "\\/"),
        KEY.replace('/', "\\\\/"),
        KEY.replace('/', "%2f")
            .replace('+', "%2B")
            .replace('=', "%3d"),
        KEY.replace('/', "%252f"),
        json.replace('\\', "\\\\"),
        json.to_uppercase().replace("\\U", "\\u"),
        json,
        percent.replace('%', "%25"),
        percent.replace('%', "\\u0025"),
        percent,
        spelled(|byte| format!("\\x{byte:02x}")),
        spelled(|byte| format!("\\{byte:03o}")),
        spelled(|byte| format!("\\u{{{byte:x}}}")),
        spelled(|byte| format!("&#{byte};")),
        spelled(|byte| format!("&#x{byte:X};")),
        spelled(|byte| format!("{byte:02x}")),
        spelled(|byte| format!("{byte:02X}:")),
        spelled(|byte| format!("0x{byte:02x}, ")),
        spelled(|byte| format!("{byte}, ")),
        spelled(|byte| format!("{} ", char::from(byte))),
        spelled(|byte| format!("{}\0", char::from(byte))),
        spelled(|byte| format!("\"{}\",", char::from(byte))),
        KEY.replace("SECRET", "SECRET\n  "),
        // base64 of the key, of "a" and "ab" before it, and of a whole header.
        "c2stU0VDUkVUL2FiYysxMjM9".into(),
        "YXNrLVNFQ1JFVC9hYmMrMTIzPQ==".into(),
        "YWJzay1TRUNSRVQvYWJjKzEyMz0=".into(),
        "QmVhcmVyIHNrLVNFQ1JFVC9hYmMrMTIzPQ".into(),
    ] {
        let text = hidden(&format!("{{\"message\": \"bad key '{spelling}', sorry\"}}"));
        assert!(text.contains("bad key '"), "{spelling}: {text}");
        assert!(text.contains("[api key]"), "{spelling}: {text}");
        let left = text.replace("[api key]", "");
        assert!(left.len() < 50, "{spelling}: {text}");
    }
}

#[test]
fn a_piece_of_a_key_is_hidden_wherever_it_was_cut() {
    for end in 3..KEY.len() {
        let text = hidden(&format!("bad key {}", &KEY[..end]));
        assert_eq!(text, "bad key [api key]", "{end}");
    }
    let json = spelled(|byte| format!("\\u{byte:04x}"));
    for end in 18..json.len() {
        let text = hidden(&format!("bad key {}", &json[..end]));
        assert_eq!(text, "bad key [api key]", "{end}");
    }
    assert_eq!(hidden("it ends in ET/abc+123=."), "it ends in [api key].");
    assert_eq!(hidden("sk-SECRET/ or more"), "[api key] or more");
}

#[test]
fn other_text_stays_as_it_is() {
    for text in [
        "",
        "sk-",
        "a % b & c \\ d \\u12 &#; %zz \\",
        "{\"adherence\": 5, \"reason\": \"no secret \\u00e9 is here\"}",
    ] {
        let expected = if text == "sk-" { "[api key]" } else { text };
        assert_eq!(hidden(text), expected);
    }
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(Secret::new(KEY).hide(bytes.clone()), bytes);
}

#[test]
fn a_short_key_is_hidden_as_a_word() {
    let secret = Secret::new("EMPTY");
    let hide = |text: &str| String::from_utf8(secret.hide(text.into())).unwrap();
    assert_eq!(hide("bad key EMPTY!"), "bad key [api key]!");
    assert_eq!(
        hide("the bowl is empty, EMPTYING"),
        "the bowl is empty, EMPTYING"
    );
    assert_eq!(hide("key \\u0045MPTY"), "key [api key]");
}

#[test]
fn a_key_with_escapes_of_its_own_is_found() {
    let secret = Secret::new("sk-%41\\u0041-abcdef");
    let hide = |text: &str| String::from_utf8(secret.hide(text.into())).unwrap();
    assert_eq!(hide("x sk-%41\\u0041-abcdef y"), "x [api key] y");
    assert_eq!(hide("x sk-%2541\\\\u0041-abcdef y"), "x [api key] y");
}
