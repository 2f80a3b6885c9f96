//! Items made to hurt: each ends early, with its reason, and without a panic.

use super::items::{base64, mail};
use super::*;

/// A gzip of many times the same byte, without ever holding them.
fn bomb(byte: u8, length: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let chunk = vec![byte; 1 << 16];
    for _ in 0..length / chunk.len() {
        encoder.write_all(&chunk).unwrap();
    }
    encoder.finish().unwrap()
}

fn zip_of(entries: usize, content: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for number in 0..entries {
        writer.start_file(format!("{number}"), zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn nine_bombs(bomb: &[u8]) -> Vec<u8> {
    let part = format!(
        "--=b\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        base64(bomb)
    );
    let head = "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=\"=b\"\r\n\r\n";
    format!("{head}{}--=b--\r\n", part.repeat(9)).into_bytes()
}

#[test]
fn bombs_towers_and_floods() {
    let at = PLAIN.find("\"policies\":").unwrap();
    let policies = |list: &str| format!("{}\"policies\":[{list}]}}", &PLAIN[..at]).into_bytes();
    let blanks = bomb(b' ', 50 << 20);
    let noise: Vec<u8> =
        (0..25_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect();
    let nested = |levels: usize| (0..levels).fold(PLAIN.as_bytes().to_vec(), |inner, _| gzip(&inner));
    let boundaries: String =
        (0..300).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect();
    let envelopes = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("50 MiB of blanks", blanks.clone(), "REP-071"),
        (
            "the same in a mail",
            mail().replace(&base64(&gzip(PLAIN.as_bytes())), &base64(&blanks)).into_bytes(),
            "REP-071",
        ),
        ("bomb in gzip", gzip(&blanks), "REP-071"),
        ("25 MB that hardly shrink", gzip(&noise), "REP-071"),
        ("three levels", nested(3), "REP-072"),
        ("zip of 101 entries", zip_of(101, b"{}"), "REP-072"),
        ("zip bomb", zip_of(10, &vec![b' '; 3 << 20]), "REP-071"),
        ("nine bombs in one mail", nine_bombs(&blanks), "REP-071"),
        ("16 MiB of text", vec![b'{'; 16 << 20], "REP-071"),
        ("a tower of lists", policies(&"[".repeat(100_000)), "REP-072"),
        ("a tower of objects", "{\"x\":".repeat(100_000).into_bytes(), "REP-072"),
        ("a million policies", policies(&"{},".repeat(1_000_000)), "REP-072"),
        ("many multiparts", boundaries.into_bytes(), "REP-072"),
        ("mail in mail in mail", envelopes.into_bytes(), "REP-072"),
        ("NaN", PLAIN.replace(":10,", ":NaN,").into_bytes(), "REP-073"),
        ("count 1e400", PLAIN.replace(":10,", ":1e400,").into_bytes(), "REP-076"),
        (
            "sum beyond counting",
            PLAIN
                .replace("\"failed-session-count\":2", "\"failed-session-count\":9007199254740991")
                .replace(
                    "\"failure-details\":[",
                    "\"failure-details\":[{\"failed-session-count\":9007199254740991},",
                )
                .replace("failure-session-count\":2", "failure-session-count\":0")
                .into_bytes(),
            "REP-076",
        ),
    ];
    for (why, bytes, id) in rows {
        assert_eq!(outcome(&read(&bytes)), ("quarantined", vec![id]), "{why}");
    }
}

#[test]
fn what_lies_within_the_limits_is_read() {
    assert_eq!(outcome(&read(&gzip(&gzip(PLAIN.as_bytes())))).0, "accepted");
    let hundred = read(&zip_of(100, PLAIN.as_bytes()));
    assert!(matches!(hundred, Parsed::Accepted(reports) if reports.len() == 100));
    // Blanks around a report compress well, and 4 MiB of them are no bomb yet.
    let spacious = [vec![b' '; 3 << 20], PLAIN.as_bytes().to_vec()].concat();
    assert_eq!(outcome(&read(&gzip(&spacious))).0, "accepted");
}

#[test]
fn one_item_brings_a_bounded_number_of_reports() {
    let flood = PLAIN.repeat(1_100);
    let Parsed::Accepted(reports) = read(flood.as_bytes()) else { panic!() };
    assert_eq!(reports.len(), 1_000);
    assert_eq!(reports[0].1.last().map(|f| f.id.as_str()), Some("REP-072"));
    let foreign = read("{}".repeat(100_000).as_bytes());
    assert!(matches!(foreign, Parsed::NotAReport(findings) if findings.len() == 20));
}

#[test]
fn ten_thousand_equal_oddities_are_one_finding() {
    let entry = r#"{"policy":{"policy-type":"STS","policy-domain":"example.com"},"summary":{"total-successful-session-count":"1","total-failure-session-count":0}}"#;
    let at = PLAIN.find("\"policies\":").unwrap();
    let text = format!("{}\"policies\":[{}]}}", &PLAIN[..at], vec![entry; 10_000].join(","));
    let (report, findings) = one(&text);
    assert_eq!(report.policies.len(), 10_000);
    assert_eq!(findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["REP-037", "REP-042"]);
    assert_eq!(findings[0].evidence["times"], 10_000);
}

/// Mails, zips and gzips with bytes exchanged, cut and doubled: any outcome is right but a panic.
#[test]
fn damaged_items_never_panic() {
    let zip = zip_of(2, PLAIN.as_bytes());
    let nested = format!("Content-Type: message/rfc822\r\n\r\n{}", mail());
    let seeds: [&[u8]; 5] =
        [PLAIN.as_bytes(), mail().as_bytes(), nested.as_bytes(), &gzip(PLAIN.as_bytes()), &zip]
            .map(|s: &[u8]| Box::leak(s.to_vec().into_boxed_slice()) as &[u8]);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for round in 0..4_000 {
        let mut bytes = seeds[round % seeds.len()].to_vec();
        for _ in 0..=random(6) {
            let at = random(bytes.len());
            match random(5) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = random(256) as u8,
                2 => bytes[at] = b"{}[]\",:\r\n-= 0"[random(13)],
                3 => drop(bytes.drain(at..(at + random(40)).min(bytes.len()))),
                _ => {
                    let piece = bytes[at..(at + random(200)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
            if bytes.is_empty() {
                bytes.push(b'{');
            }
        }
        let (parsed, _) = parse(&bytes, &Incoming::default(), &Limits::default(), now());
        let (status, ids) = outcome(&parsed);
        assert!(status == "accepted" || !ids.is_empty(), "{:?}", String::from_utf8_lossy(&bytes));
    }
}
