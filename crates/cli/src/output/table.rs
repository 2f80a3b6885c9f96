//! Tables in the terminal: columns as wide as their longest cell, numbers to the right.

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Renders rows under headings; every line ends without blanks. Styles inside cells do not count as
/// width.
pub fn render(headings: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let visible = |text: &str| anstream::adapter::strip_str(text).to_string().chars().count();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(n, (heading, _))| {
            rows.iter()
                .filter_map(|r| r.get(n))
                .map(|c| visible(c))
                .chain([visible(heading)])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let set: Vec<String> = cells
            .enumerate()
            .map(|(n, cell)| {
                let pad = " ".repeat(widths.get(n).copied().unwrap_or(0).saturating_sub(visible(&cell)));
                match headings.get(n).map(|h| h.1) {
                    Some(Align::Right) => format!("{pad}{cell}"),
                    _ => format!("{cell}{pad}"),
                }
            })
            .collect();
        format!("{}\n", set.join("  ").trim_end())
    };
    let mut text = line(&mut headings.iter().map(|(h, _)| super::faint(h)));
    for row in rows {
        text.push_str(&line(&mut row.iter().cloned()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let rows =
            vec![vec!["a".to_owned(), "1".to_owned()], vec![super::super::strong("long"), "12".to_owned()]];
        let text = render(&[("name", Align::Left), ("n", Align::Right)], &rows);
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), "name   n\na      1\nlong  12\n");
    }
}
