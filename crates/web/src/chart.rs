//! Charts as SVG: written here, read without colour, on paper and at 320 px.
//!
//! Every segment has a pattern besides its colour, every column a title with its numbers, and the page
//! puts the table behind it. Colours and strokes come from the style sheet by class; there is no
//! inline style.

use std::collections::BTreeMap;
use std::fmt::Write;

use askama::filters::Safe;
use jiff::Timestamp;
use jiff::civil::Date;
use mailward_store::sessions::SessionDay;

use crate::visible;
use crate::words::{self, Markup};

/// A mark on the axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Number in the list below the chart.
    pub(crate) number: usize,
    /// The day it stands at.
    pub(crate) day: Date,
}

/// The drawing's size in its own units, and how many dates its axis has room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    class: &'static str,
    dates: usize,
    width: f64,
    height: f64,
}

/// For a desk.
pub(crate) const WIDE: Size = Size { class: "wide", dates: 14, width: 1000.0, height: 236.0 };
/// For a phone.
pub(crate) const NARROW: Size = Size { class: "narrow", dates: 5, width: 340.0, height: 220.0 };

const LEFT: f64 = 44.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 40.0;
/// The most types that get a pattern of their own; the last one stands for all others.
const PATTERNS: usize = 5;

/// The types in the time shown, most failed sessions first: position is the number of the pattern
/// less one. The last may be "other types".
pub(crate) fn legend(days: &[SessionDay]) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for day in days {
        for (name, sessions) in segments(day) {
            let sum = sums.entry(name).or_default();
            *sum = sum.saturating_add(sessions);
        }
    }
    let mut list: Vec<(String, u64)> = sums.into_iter().collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    if list.len() > PATTERNS {
        let rest = list.split_off(PATTERNS - 1);
        let sum = rest.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
        list.push((OTHER.to_owned(), sum));
    }
    list
}

const OTHER: &str = "other types";

/// Failures of a day by type; what failed without a type named stands apart.
fn segments(day: &SessionDay) -> Vec<(String, u64)> {
    let mut list: Vec<(String, u64)> =
        day.failures.iter().filter(|(_, n)| *n > 0).map(|(t, n)| (t.as_str().to_owned(), *n)).collect();
    let told = list.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
    if day.failed > told {
        list.push(("no type told".to_owned(), day.failed - told));
    }
    list
}

/// A swatch for the legend: 0 is "passed".
pub(crate) fn swatch(pattern: usize) -> Markup {
    let fill = if pattern == 0 { String::new() } else { format!(" fill=\"url(#p{pattern})\"") };
    Safe(format!(
        "<svg class=\"swatch\" viewBox=\"0 0 16 16\" aria-hidden=\"true\"><rect class=\"s{pattern}\"{fill} \
         width=\"16\" height=\"16\"/></svg>"
    ))
}

/// Sessions a day as stacked columns.
pub(crate) fn columns(
    days: &[SessionDay],
    marks: &[Mark],
    evidence_from: Option<Date>,
    size: Size,
) -> Markup {
    let mut svg = String::with_capacity(8 * 1024);
    let legend = legend(days);
    let most = days.iter().map(total).max().unwrap_or(0).max(1);
    let top = nice(most);
    let plot = Plot { size, days: days.len().max(1), top };
    let label = format!(
        "Sessions a day, {} to {}. The table below has the numbers.",
        days.first().map(|d| d.day.to_string()).unwrap_or_default(),
        days.last().map(|d| d.day.to_string()).unwrap_or_default()
    );
    let _ = write!(
        svg,
        "<svg class=\"chart {}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{label}\">",
        size.class, size.width, size.height
    );
    plot.axis(&mut svg);
    for (index, day) in days.iter().enumerate() {
        plot.column(&mut svg, index, day, &legend);
    }
    plot.dates(&mut svg, days);
    if let Some(from) = evidence_from
        && let Some(index) = days.iter().position(|day| day.day >= from)
        && days.first().is_some_and(|first| first.day <= from)
    {
        let x = plot.x(index) - plot.step() * 0.5;
        let (anchor, dx) = if x > size.width * 0.8 { ("end", -4.0) } else { ("start", 4.0) };
        let _ = write!(
            svg,
            "<path class=\"evidence\" d=\"M{x:.1} {:.1}V{:.1}\"/><text class=\"note\" x=\"{:.1}\" y=\"12\" \
             text-anchor=\"{anchor}\">evidence counts from here</text>",
            4.0,
            plot.floor(),
            x + dx,
        );
    }
    for mark in marks {
        if let Some(index) = days.iter().position(|day| day.day == mark.day) {
            let (x, y) = (plot.x(index), plot.floor() + 18.0);
            let _ = write!(
                svg,
                "<path class=\"mark\" d=\"M{x:.1} {:.1}l5 8h-10z\"/><text class=\"note\" x=\"{x:.1}\" \
                 y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                y - 2.0,
                y + 18.0,
                mark.number
            );
        }
    }
    svg.push_str("</svg>");
    Safe(svg)
}

fn total(day: &SessionDay) -> u64 {
    segments(day).iter().fold(day.successful, |sum, (_, n)| sum.saturating_add(*n))
}

/// The next number above with one digit before the zeros: 1, 2, 5 times a power of ten.
fn nice(most: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let bound = unit.saturating_mul(step);
            if bound >= most {
                return bound.max(4);
            }
        }
        unit = unit.saturating_mul(10);
    }
}

/// The patterns, once for every chart and legend of a page, in a drawing of no size: one that is not
/// displayed would take its patterns with it.
pub(crate) fn patterns() -> Markup {
    const SHAPES: [&str; PATTERNS] = [
        "M-2 2 2 -2M-2 10 10 -2M6 10 10 6",
        "M2 2h1M6 6h1",
        "M-2 6 2 10M-2 -2 10 10M6 -2 10 2",
        "M0 2h8M0 6h8",
        "M0 4h8M4 0v8",
    ];
    let mut svg =
        String::from("<svg class=\"patterns\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>");
    for (index, shape) in SHAPES.iter().enumerate() {
        let n = index + 1;
        let _ = write!(
            svg,
            "<pattern id=\"p{n}\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><rect \
             class=\"p{n}\" width=\"8\" height=\"8\"/><path class=\"hatch\" d=\"{shape}\"/></pattern>"
        );
    }
    svg.push_str("</defs></svg>");
    Safe(svg)
}

struct Plot {
    size: Size,
    days: usize,
    top: u64,
}

impl Plot {
    fn step(&self) -> f64 {
        (self.size.width - LEFT - RIGHT) / self.days as f64
    }

    /// Middle of a column.
    fn x(&self, index: usize) -> f64 {
        LEFT + self.step() * (index as f64 + 0.5)
    }

    fn floor(&self) -> f64 {
        self.size.height - BOTTOM
    }

    fn height(&self, sessions: u64) -> f64 {
        (self.floor() - TOP) * (sessions as f64 / self.top as f64)
    }

    fn axis(&self, svg: &mut String) {
        for part in [0, self.top / 2, self.top] {
            let y = self.floor() - self.height(part);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                self.size.width - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                words::count(part)
            );
        }
    }

    fn column(&self, svg: &mut String, index: usize, day: &SessionDay, legend: &[(String, u64)]) {
        let width = (self.step() * 0.72).min(36.0);
        let left = self.x(index) - width / 2.0;
        let mut y = self.floor();
        let _ = write!(svg, "<g><title>{}</title>", visible::markup(&sentence(day)));
        let mut rect = |y: &mut f64, height: f64, class: usize| {
            *y -= height;
            let fill = if class == 0 { String::new() } else { format!(" fill=\"url(#p{class})\"") };
            let _ = write!(
                svg,
                "<rect class=\"s{class}\"{fill} x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
                 height=\"{height:.1}\"/>"
            );
        };
        if day.successful > 0 {
            // Never so flat that a day with sessions looks like one without.
            rect(&mut y, self.height(day.successful).max(1.0), 0);
        }
        let own = |name: &str| legend.iter().position(|(known, _)| known == name);
        let mut heights = [0_u64; PATTERNS];
        for (name, sessions) in segments(day) {
            let place = own(&name).unwrap_or(PATTERNS - 1);
            heights[place] = heights[place].saturating_add(sessions);
        }
        for (place, sessions) in heights.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            rect(&mut y, self.height(sessions).max(4.0), place + 1);
        }
        if day.failed > 0 {
            let _ = write!(
                svg,
                "<text class=\"failed\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                self.x(index),
                y - 4.0,
                words::count(day.failed)
            );
        }
        svg.push_str("</g>");
    }

    fn dates(&self, svg: &mut String, days: &[SessionDay]) {
        let every = days.len().div_ceil(self.size.dates).max(1);
        for (index, day) in days.iter().enumerate().filter(|(index, _)| index % every == 0) {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                self.x(index),
                self.floor() + 14.0,
                day.day.strftime("%m-%d")
            );
        }
    }
}

/// A day in words.
fn sentence(day: &SessionDay) -> String {
    let mut text = format!("{}: {} passed, {} failed", day.day, day.successful, day.failed);
    for (name, sessions) in segments(day) {
        let _ = write!(text, "; {name} {sessions}");
    }
    text
}

/// Failed sessions by day as a small picture in a list; without any, a plain line.
pub(crate) fn sparkline(failed: &[u64]) -> Markup {
    let most = failed.iter().copied().max().unwrap_or(0);
    let width = failed.len() * 3;
    let mut path = String::new();
    for (index, sessions) in failed.iter().enumerate().filter(|(_, n)| **n > 0) {
        let height = (18.0 * (*sessions as f64 / most as f64)).max(2.0).round();
        let _ = write!(path, "M{} {}h2v{height}h-2z", index * 3, 20.0 - height);
    }
    let label = match most {
        0 => format!("no failed session in {} days", failed.len()),
        _ => format!("failed sessions a day, {} days, at most {}", failed.len(), words::count(most)),
    };
    Safe(format!(
        "<svg class=\"spark\" viewBox=\"0 0 {width} 20\" role=\"img\" aria-label=\"{label}\"><path class=\"base\" \
         d=\"M0 19h{width}v1H0z\"/><path d=\"{path}\"/></svg>"
    ))
}

/// How much of a policy's life is left: full when fetched, empty when it runs out.
pub(crate) fn horizon(from: Timestamp, until: Timestamp, now: Timestamp) -> Markup {
    let (whole, left) = (until.duration_since(from).as_secs_f64(), until.duration_since(now).as_secs_f64());
    let part = if whole > 0.0 { (left / whole).clamp(0.0, 1.0) } else { 0.0 };
    let (width, percent) = ((84.0 * part).ceil(), (100.0 * part).round());
    Safe(format!(
        "<svg class=\"horizon\" viewBox=\"0 0 84 6\" role=\"img\" aria-label=\"{percent} percent of its time left\">\
         <path class=\"base\" d=\"M0 2h84v2H0z\"/><path d=\"M0 0h{width}v6H0z\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use mailward_core::tlsrpt::ResultType;

    use super::*;

    fn day(n: i8, successful: u64, failures: &[(&str, u64)]) -> SessionDay {
        SessionDay {
            day: jiff::civil::date(2026, 11, n),
            successful,
            failed: failures.iter().map(|(_, n)| n).sum(),
            failures: failures.iter().map(|(t, n)| (ResultType::from((*t).to_owned()), *n)).collect(),
            weak_successful: 0,
            weak_failed: 0,
            reporters: 1,
        }
    }

    #[test]
    fn a_single_failure_is_seen_beside_a_million() {
        let svg = columns(&[day(1, 1_000_000, &[("certificate-expired", 1)])], &[], None, WIDE).0;
        assert!(svg.contains("class=\"s1\" fill=\"url(#p1)\""), "{svg}");
        assert!(svg.contains("height=\"4.0\""), "{svg}");
        assert!(svg.contains("certificate-expired 1</title>"), "{svg}");
    }

    #[test]
    fn hostile_types_stay_text() {
        let svg = columns(&[day(1, 1, &[("</title><script>", 1)])], &[], None, NARROW).0;
        assert!(!svg.contains("<script"), "{svg}");
    }

    #[test]
    fn more_types_than_patterns_share_the_last() {
        let many: Vec<String> = (0..9).map(|n| format!("type-{n}")).collect();
        let rows: Vec<(&str, u64)> = many.iter().map(|t| (t.as_str(), 1)).collect();
        let legend = legend(&[day(1, 1, &rows)]);
        assert_eq!(legend.len(), PATTERNS);
        assert_eq!(legend.last(), Some(&("other types".to_owned(), 5)));
    }

    #[test]
    fn scales_end_at_readable_numbers() {
        for (most, top) in [(0, 4), (1, 4), (7, 10), (120, 200), (201, 500), (u64::MAX, u64::MAX)] {
            assert_eq!(nice(most), top, "{most}");
        }
    }

    #[test]
    fn columns_stay_finite_for_hostile_counts() {
        let svg = columns(&[day(1, u64::MAX, &[("x", u64::MAX / 2)])], &[], None, WIDE).0;
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_line_without_failures_is_plain() {
        assert!(sparkline(&[0; 28]).0.contains("no failed session in 28 days"));
        assert!(sparkline(&[0, 5, 0]).0.contains("at most 5"));
    }

    #[test]
    fn a_horizon_shrinks_and_never_leaves_its_frame() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (from, until, now, width, percent) in [
            (0, 100, 0, 84, 100),
            (0, 100, 50, 42, 50),
            (0, 100, 99, 1, 1),
            (0, 100, 100, 0, 0),
            (0, 100, 500, 0, 0),
            (50, 100, 0, 84, 100),
            (100, 100, 100, 0, 0),
        ] {
            let svg = horizon(at(from), at(until), at(now)).0;
            assert!(svg.contains(&format!("M0 0h{width}v6")), "{from} {until} {now}: {svg}");
            assert!(svg.contains(&format!("\"{percent} percent")), "{from} {until} {now}: {svg}");
        }
    }
}
