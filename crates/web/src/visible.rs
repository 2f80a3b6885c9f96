//! Hostile text on a page: HTML escaped, and what cannot be seen made visible.
//!
//! A reporter chooses organisation names, reasons and host names. Markup in them must stay text, and
//! so must the invisible: control characters, and the direction characters that let a text read
//! differently from what it says (`moc.elpmaxe` behind U+202E). Both are shown as ⟨U+202E⟩. Nothing
//! from a report ever becomes a link.

use std::fmt::{self, Write};

/// The escaper of every `.html` template (see `askama.toml`).
#[derive(Clone, Copy)]
pub struct Page;

impl askama::filters::Escaper for Page {
    fn write_escaped_str<W: Write>(&self, mut to: W, text: &str) -> fmt::Result {
        let mut from = 0;
        for (at, c) in text.char_indices() {
            let entity = match c {
                '<' => "&lt;",
                '>' => "&gt;",
                '&' => "&amp;",
                '"' => "&quot;",
                '\'' => "&#39;",
                c if is_invisible(c) => "",
                _ => continue,
            };
            to.write_str(&text[from..at])?;
            if entity.is_empty() {
                write!(to, "⟨U+{:04X}⟩", u32::from(c))?;
            } else {
                to.write_str(entity)?;
            }
            from = at + c.len_utf8();
        }
        to.write_str(&text[from..])
    }
}

/// What changes a text without being seen. Tab and line feed are white space and stay.
pub fn is_invisible(c: char) -> bool {
    match c {
        '\t' | '\n' => false,
        c if c.is_control() => true,
        // Zero width, direction marks, embeddings and isolates, separators, invisible operators, tags,
        // the byte order mark, and variation selectors' older friends.
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// The text with what cannot be seen made visible, for places that are no template (SVG, CSV).
pub fn text(raw: &str) -> String {
    let mut shown = String::with_capacity(raw.len());
    for c in raw.chars() {
        if is_invisible(c) {
            let _ = write!(shown, "⟨U+{:04X}⟩", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The text escaped for markup that Rust writes itself (charts).
pub fn markup(raw: &str) -> String {
    let mut escaped = String::with_capacity(raw.len());
    let _ = askama::filters::Escaper::write_escaped_str(&Page, &mut escaped, raw);
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        for (raw, shown) in [
            ("plain ünïcode 漢字", "plain ünïcode 漢字"),
            ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
            ("a & \"b\"", "a &amp; &quot;b&quot;"),
            ("gnp.exe\u{202e}fdp", "gnp.exe⟨U+202E⟩fdp"),
            ("bell\u{7}, escape\u{1b}[31m", "bell⟨U+0007⟩, escape⟨U+001B⟩[31m"),
            ("zero\u{200b}width\u{feff}", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
            ("line\r\nnext\tcell", "line⟨U+000D⟩\nnext\tcell"),
            ("nul\0", "nul⟨U+0000⟩"),
        ] {
            assert_eq!(markup(raw), shown);
        }
    }
}
