"""Reads reports as other people's programs do: dkimpy verifies mails, parsedmarc reads what is in them.

Arguments: the address of a resolver, then files: mails (.eml) and payloads of POSTs (.gz). Prints one JSON object
for each file, with everything that parsedmarc complained of.
"""

import email
import json
import logging
import sys

import dkim
import dns.resolver
import parsedmarc

complaints = []


class Complaints(logging.Handler):
    def emit(self, record):
        complaints.append(record.getMessage())


def texts_of(address):
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [address]

    def text(name, timeout=5):
        [record] = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
        return b"".join(record.strings)

    return text


def signatures(mail, text):
    for number in range(len(email.message_from_bytes(mail).get_all("DKIM-Signature", []))):
        # strict: only a key that is meant for reports (s=tlsrpt).
        verifier = dkim.DKIM(mail, tlsrpt="strict")
        valid = verifier.verify(idx=number, dnsfunc=text)
        fields = {key.decode(): value.decode() for key, value in verifier.signature_fields.items()}
        yield {"valid": valid, "algorithm": fields["a"], "domain": fields["d"], "length": "l" in fields}


def read(path, text):
    with open(path, "rb") as file:
        content = file.read()
    complaints.clear()
    parsed = parsedmarc.parse_report_file(content, offline=True)
    mail = path.endswith(".eml")
    return {
        "file": path,
        "type": parsed["report_type"],
        "report": parsed["report"],
        "complaints": complaints,
        "signatures": list(signatures(content, text)) if mail else None,
    }


logger = logging.getLogger("parsedmarc")
logger.addHandler(Complaints(logging.WARNING))
logger.propagate = False
text = texts_of(sys.argv[1])
for path in sys.argv[2:]:
    print(json.dumps(read(path, text), default=str))
