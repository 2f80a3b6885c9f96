//! Statements and the values for them: written once, grown to the number of rows at hand.

/// Rows in one statement: few sizes, so that few statements are prepared and kept.
const CHUNKS: [usize; 6] = [512, 128, 32, 8, 2, 1];
/// Bytes in one statement; more rows follow in the next.
const CHUNK_BYTES: usize = 16 << 20;

/// The text of a statement: plain, or over many rows (`{rows}` stands for the tuples of VALUES), or over
/// a list (`{list}` stands for the inside of IN).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sql(pub(crate) &'static str);

/// Names statements and lists them, so that a test can prepare each on both engines.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* const $name: $crate::engine::statement::Sql = $crate::engine::statement::Sql($text);)*
        pub(crate) const STATEMENTS: &[$crate::engine::statement::Sql] = &[$($name),*];
    };
}
pub(crate) use statements;

/// A value for a placeholder. NULL keeps its type, since PostgreSQL asks for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

/// Values in the order of the placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::engine::statement::Value::from($value)),*] };
}
pub(crate) use values;

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<String> for Value {
    /// PostgreSQL refuses NUL in a text. It is replaced on both, so that both hold and find the same.
    fn from(text: String) -> Self {
        Self::Text(Some(if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_owned())
    }
}

impl Value {
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Integer(_) | Self::Text(None) => 8,
            Self::Text(Some(text)) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Writes the placeholder of the value at a place, counted from 1.
pub(crate) type Placeholder = fn(&mut String, usize);

/// Statements for any number of rows.
pub(crate) fn in_batches<const N: usize>(
    sql: Sql,
    rows: Vec<[Value; N]>,
    placeholder: Placeholder,
) -> impl Iterator<Item = (String, Vec<Value>)> {
    debug_assert_eq!(N, columns(sql), "{}", sql.0);
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let left = rows.as_slice();
        let mut bytes = 0;
        let fitting = left.iter().take(CHUNKS[0]).take_while(|row| {
            let fits = bytes < CHUNK_BYTES;
            bytes += row.iter().map(Value::size).sum::<usize>();
            fits
        });
        let fitting = fitting.count();
        let size = CHUNKS.into_iter().find(|size| *size <= fitting)?;
        Some((expand(sql, size, N, placeholder), rows.by_ref().take(size).flatten().collect()))
    })
}

/// Statements for a list of any length. Each is filled up by repeating a value, so that few are prepared.
pub(crate) fn in_chunks(sql: Sql, list: Vec<Value>, placeholder: Placeholder) -> Vec<(String, Vec<Value>)> {
    let statement = |chunk: &[Value]| {
        let size = CHUNKS.into_iter().rev().find(|size| *size >= chunk.len()).unwrap_or(CHUNKS[0]);
        let values = chunk.iter().chain(std::iter::repeat(&chunk[0])).take(size).cloned().collect();
        (expand(sql, size, 1, placeholder), values)
    };
    // What does not fill the largest size goes in the next: else most of the list would be repetition.
    let (whole, rest) = list.split_at(list.len() - list.len() % CHUNKS[0]);
    whole.chunks(CHUNKS[0]).chain(rest.chunks(CHUNKS[1])).map(statement).collect()
}

/// The text for so many rows (or list members) of so many columns.
pub(crate) fn expand(sql: Sql, rows: usize, columns: usize, placeholder: Placeholder) -> String {
    // Thousands of placeholders, each time anew: they are written into one text.
    let mut marks = String::new();
    let mut at = 1..;
    let mut list = |marks: &mut String, members: usize| {
        for (member, at) in at.by_ref().take(members).enumerate() {
            marks.push_str(if member > 0 { ", " } else { "" });
            placeholder(marks, at);
        }
    };
    if sql.0.contains("{list}") {
        list(&mut marks, rows);
        return sql.0.replace("{list}", &marks);
    }
    if !sql.0.contains("{rows}") {
        return sql.0.to_owned();
    }
    for row in 0..rows {
        marks.push_str(if row > 0 { ", (" } else { "(" });
        list(&mut marks, columns);
        marks.push(')');
    }
    sql.0.replace("{rows}", &marks)
}

/// How many columns an `INSERT INTO table (a, b) …` names.
pub(crate) fn columns(sql: Sql) -> usize {
    let names = sql.0.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    names.map_or(1, |(names, _)| names.split(',').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(text: &mut String, at: usize) {
        text.push_str(&format!("${at}"));
    }

    fn bare(text: &mut String, _: usize) {
        text.push('?');
    }

    #[test]
    fn statements_grow_with_their_rows() {
        let rows = Sql("INSERT INTO t (a, b) VALUES {rows} ON CONFLICT DO NOTHING");
        assert_eq!(columns(rows), 2);
        assert_eq!(
            expand(rows, 2, 2, numbered),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING"
        );
        assert_eq!(expand(rows, 1, 2, bare), "INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT DO NOTHING");
        let list = Sql("SELECT a FROM t WHERE b IN ({list})");
        assert_eq!(expand(list, 2, 1, bare), "SELECT a FROM t WHERE b IN (?, ?)");
    }

    #[test]
    fn rows_come_in_few_sizes_and_none_is_lost() {
        let sql = Sql("INSERT INTO t (a) VALUES {rows}");
        for (rows, sizes) in [
            (0, vec![]),
            (1, vec![1]),
            (7, vec![2, 2, 2, 1]),
            (300, vec![128, 128, 32, 8, 2, 2]),
            (513, vec![512, 1]),
        ] {
            let batches: Vec<_> =
                in_batches(sql, (0..rows).map(|n| [Value::from(n)]).collect(), bare).collect();
            assert_eq!(batches.iter().map(|(_, values)| values.len()).collect::<Vec<_>>(), sizes, "{rows}");
            let values: Vec<_> = batches.into_iter().flat_map(|(_, values)| values).collect();
            assert_eq!(values, (0..rows).map(Value::from).collect::<Vec<_>>(), "{rows}");
        }
        // No statement grows without bound, and a row larger than the bound goes alone.
        let large = vec![[Value::Bytes(vec![0; CHUNK_BYTES])], [Value::Bytes(vec![0; CHUNK_BYTES])]];
        assert_eq!(in_batches(sql, large, bare).count(), 2);
    }

    #[test]
    fn lists_are_filled_up() {
        let sql = Sql("SELECT a FROM t WHERE a IN ({list})");
        for (members, sizes) in [
            (0, vec![]),
            (1, vec![1]),
            (3, vec![8]),
            (129, vec![128, 1]),
            (512, vec![512]),
            (700, vec![512, 128, 128]),
        ] {
            let chunks = in_chunks(sql, (0..members).map(Value::from).collect(), bare);
            assert_eq!(chunks.iter().map(|(_, values)| values.len()).collect::<Vec<_>>(), sizes, "{members}");
        }
    }

    #[test]
    fn nul_never_reaches_a_text() {
        assert_eq!(Value::from("a\0b"), Value::Text(Some("a\u{fffd}b".into())));
    }
}
