//! The report of a day (RFC 8460 §4.4), true to the RFC or shaped like those of large providers.

use std::collections::BTreeMap;
use std::io::Write;

use jiff::civil::Date;
use mailward_core::tlsrpt::PolicyType;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::tally::{Applied, Counts};
use crate::dns::hex;
use crate::scenario::Shape;

/// A report before it is packed.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub domain: String,
    pub day: Date,
    pub id: String,
    pub json: Value,
}

/// What the reports of one organisation have in common.
pub(super) struct Author<'a> {
    pub organization: &'a str,
    pub domain: &'a str,
    pub shape: Shape,
    pub address: &'a str,
}

impl Author<'_> {
    /// The mail address of the reports.
    pub(super) fn contact(&self) -> String {
        format!("tls-reports@{}", self.domain)
    }

    /// Writes the report on one policy domain. The same figures give the same id.
    pub(super) fn write(&self, day: Date, domain: &str, policies: &BTreeMap<Applied, Counts>) -> Report {
        let digest = hex(&Sha256::digest(format!("{}{day}{domain}", self.domain)));
        let id = match self.shape {
            Shape::Plain => format!("{day}.{}@{}", &digest[..12], self.domain),
            Shape::Google => format!("{day}T00:00:00Z_{domain}"),
            Shape::Microsoft => {
                format!("{}+{domain}", u64::from_str_radix(&digest[..12], 16).unwrap_or_default())
            }
        };
        // REP-033: one large reporter leaves the zone out.
        let zone = if self.shape == Shape::Microsoft { "" } else { "Z" };
        let mut entries = Vec::new();
        for (applied, counts) in policies {
            entries.push(self.entry(domain, applied, counts));
            if self.shape == Shape::Microsoft && applied.policy_type == PolicyType::Sts {
                entries.push(twice(domain, applied, counts));
            }
        }
        let json = json!({
            "organization-name": self.organization,
            "date-range": {
                "start-datetime": format!("{day}T00:00:00{zone}"),
                "end-datetime": format!("{day}T23:59:59{zone}"),
            },
            "contact-info": self.contact(),
            "report-id": id,
            "policies": entries,
        });
        Report { domain: domain.to_owned(), day, id, json }
    }

    fn entry(&self, domain: &str, applied: &Applied, counts: &Counts) -> Value {
        let details: Vec<Value> = counts
            .details
            .iter()
            .map(|((failure, place), sessions)| {
                let mut detail = json!({
                    "result-type": failure.result_type.as_str(),
                    "failed-session-count": sessions,
                });
                let mut add = |key: &str, value: String| detail[key] = Value::String(value);
                // REP-048: the sending address is sometimes an empty string.
                let sending = if self.shape == Shape::Google { "" } else { self.address };
                add("sending-mta-ip", sending.to_owned());
                if let Some(mx) = &place.mx {
                    add("receiving-mx-hostname", mx.clone());
                }
                if let Some(address) = place.address {
                    add("receiving-ip", address.to_string());
                }
                if let Some(reason) = &failure.reason {
                    add("failure-reason-code", reason.clone());
                }
                detail
            })
            .collect();
        let mut policy = json!({ "policy-type": applied.policy_type.as_str(), "policy-domain": domain });
        if !applied.lines.is_empty() {
            // REP-041: a blank may stand at the end of a line.
            let end = if self.shape == Shape::Google { " " } else { "" };
            policy["policy-string"] = applied.lines.iter().map(|l| format!("{l}{end}")).collect();
            policy["mx-host"] = applied.mx.iter().cloned().collect();
        }
        json!({ "policy": policy, "summary": summary(counts), "failure-details": details })
    }
}

fn summary(counts: &Counts) -> Value {
    json!({
        "total-successful-session-count": counts.successful,
        "total-failure-session-count": counts.failed,
    })
}

/// REP-052 and REP-041: the same sessions once more under `tlsa`, with a JSON array inside a string.
fn twice(domain: &str, applied: &Applied, counts: &Counts) -> Value {
    let mx = applied.mx.first().cloned().unwrap_or_default();
    let digest = hex(&Sha256::digest(&mx));
    json!({
        "policy": {
            "policy-type": "tlsa",
            "policy-domain": domain,
            "policy-string": [json!([format!("3 1 1 {digest}")]).to_string()],
            "mx-host": [mx],
        },
        "summary": summary(counts),
        "failure-details": [],
    })
}

impl Report {
    /// The JSON, gzipped.
    pub(super) fn packed(&self) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let text = serde_json::to_vec(&self.json).unwrap_or_default();
        packer.write_all(&text).and_then(|()| packer.finish()).unwrap_or_default()
    }
}
