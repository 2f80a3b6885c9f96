//! Every colour of a text can be read on every ground it stands on, in both themes (WCAG 2 AA).

use std::collections::HashMap;

const STYLE: &str = include_str!("../src/assets/mailward.css");

/// Tokens of a block: name to colour.
fn tokens(block: &str) -> HashMap<&str, (f64, f64, f64)> {
    block
        .split(';')
        .filter_map(|pair| {
            let (name, value) = pair.split_once(':')?;
            let hex = value.trim().strip_prefix('#')?;
            let name = name.rsplit("--").next()?.trim();
            let part = |at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).ok().unwrap_or(0));
            (hex.len() == 6).then(|| (name, (part(0), part(2), part(4))))
        })
        .collect()
}

fn luminance((r, g, b): (f64, f64, f64)) -> f64 {
    let linear = |c: f64| {
        let c = c / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

fn contrast(a: (f64, f64, f64), b: (f64, f64, f64)) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn texts_can_be_read_in_both_themes() {
    let mut blocks = STYLE.split(":root {").skip(1).map(|rest| rest.split('}').next().unwrap_or_default());
    let light = tokens(blocks.next().unwrap());
    let dark = tokens(blocks.next().unwrap());
    for (theme, tokens) in [("light", light), ("dark", dark)] {
        for text in ["ink", "quiet", "accent", "holds", "look", "broken", "unknown"] {
            for ground in ["paper", "panel"] {
                let ratio = contrast(tokens[text], tokens[ground]);
                assert!(ratio >= 4.5, "{theme}: {text} on {ground} is {ratio:.2}");
            }
        }
        assert!(contrast(tokens["on-accent"], tokens["accent"]) >= 4.5, "{theme}: text on buttons");
        // What is no text needs 3 to 1: edges of inputs, columns, patterns.
        for (a, b) in [("strong", "paper"), ("hatch", "f1"), ("hatch", "f2"), ("hatch", "f4")] {
            let ratio = contrast(tokens[a], tokens[b]);
            assert!(ratio >= 3.0, "{theme}: {a} on {b} is {ratio:.2}");
        }
    }
}
