//! The names closest to a mistyped one, by edit distance.

/// The `most` names nearest to `wanted`, best first. A name that contains what was typed counts as near.
pub(super) fn nearest(wanted: &str, names: &[String], most: usize) -> Vec<String> {
    let mut ranked: Vec<(usize, &String)> = names
        .iter()
        .map(|name| {
            let plain = super::normal(name);
            let inside = wanted.len() >= 4 && plain.contains(wanted);
            (if inside { 1 } else { distance(wanted, &plain) }, name)
        })
        .collect();
    ranked.sort_by_key(|(distance, name)| (*distance, name.len()));
    ranked.into_iter().take(most).map(|(_, name)| name.clone()).collect()
}

/// Insertions, deletions, exchanges and swaps of neighbours that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let exchange = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = exchange.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("sts-txt-01", "sts-txt-001", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
