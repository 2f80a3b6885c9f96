//! Text out of certificates, made fit to be shown.

use std::fmt::Write;

/// Characters of a subject or name kept.
const CHARACTERS_KEPT: usize = 255;

/// `text` on one line, without anything that a terminal or page would act on, at most 255 characters.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::new();
    let mut characters = text.chars();
    for c in characters.by_ref().take(CHARACTERS_KEPT) {
        if is_harmless(c) { clean.push(c) } else { clean.extend(c.escape_unicode()) }
    }
    if characters.next().is_some() {
        clean.push('…');
    }
    clean
}

/// Neither a control character nor one that is invisible or turns the direction of text.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
