//! The yardstick of reports that go out: generic JSON, gzip, a row; then base64 and a signature.

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Row};

use crate::measure::Stopwatch;

/// Reports in a transaction, as many as ours are.
const BATCH: usize = 200;

/// Processor seconds.
pub struct Bare {
    pub built: f64,
    pub signed: f64,
}

/// Builds, keeps, reads and signs the reports of so many domains.
pub fn run(folder: &Path, key: &Path, domains: usize) -> Result<Bare, String> {
    let pem = std::fs::read(key).map_err(|e| e.to_string())?;
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| e.to_string())?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).map_err(|e| e.to_string())?;
    let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or("the key is not RSA")?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let text = |e: sqlx::Error| e.to_string();
        let mut connection = SqliteConnectOptions::new()
            .filename(folder.join("bare.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .connect()
            .await
            .map_err(text)?;
        let table = "CREATE TABLE reports (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)";
        sqlx::query(table).execute(&mut connection).await.map_err(text)?;
        let watch = Stopwatch::start();
        for first in (0..domains).step_by(BATCH) {
            sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(text)?;
            for number in first..(first + BATCH).min(domains) {
                let insert = sqlx::query("INSERT INTO reports (bytes) VALUES ($1)");
                insert.bind(gzip(&report(number))?).execute(&mut connection).await.map_err(text)?;
            }
            sqlx::query("COMMIT").execute(&mut connection).await.map_err(text)?;
        }
        let built = watch.cost().cpu;
        let watch = Stopwatch::start();
        for number in 1..=domains {
            let select = sqlx::query("SELECT bytes FROM reports WHERE number = $1");
            let row = select.bind(i64::try_from(number).unwrap_or(0)).fetch_one(&mut connection).await;
            let bytes: Vec<u8> = row.map_err(text)?.get(0);
            let mail =
                format!("From: a@b.example\r\nSubject: report {number}\r\n\r\n{}", STANDARD.encode(bytes));
            std::hint::black_box(signer.sign(mail.as_bytes()).map_err(|e| e.to_string())?);
        }
        Ok(Bare { built, signed: watch.cost().cpu })
    })
}

fn gzip(report: &Value) -> Result<Vec<u8>, String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let text = serde_json::to_vec(report).map_err(|e| e.to_string())?;
    encoder.write_all(&text).map_err(|e| e.to_string())?;
    encoder.finish().map_err(|e| e.to_string())
}

/// What `reporter::seen` tells of a domain, as a report.
fn report(number: usize) -> Value {
    let name = format!("d{number}.test");
    let kinds = if number.is_multiple_of(3) { 3 } else { 0 };
    let failure = |n: usize| {
        json!({
            "result-type": "certificate-expired",
            "sending-mta-ip": "192.0.2.1",
            "receiving-mx-hostname": format!("mx{n}.{name}"),
            "receiving-mx-helo": format!("mx{n}.{name}"),
            "receiving-ip": "192.0.2.2",
            "failed-session-count": 1,
            "failure-reason-code": "certificate has expired",
        })
    };
    json!({
        "organization-name": "Sender",
        "date-range": { "start-datetime": "2026-01-01T00:00:00Z", "end-datetime": "2026-01-01T23:59:59Z" },
        "contact-info": "tls@sender.example",
        "report-id": format!("20260101.{name}.0123456789abcdef@sender.example"),
        "policies": [{
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: enforce", "max_age: 604800"],
                "policy-domain": name,
                "mx-host": [format!("*.{name}")],
            },
            "summary": { "total-successful-session-count": 1000, "total-failure-session-count": kinds },
            "failure-details": (0..kinds).map(failure).collect::<Vec<_>>(),
        }],
    })
}
