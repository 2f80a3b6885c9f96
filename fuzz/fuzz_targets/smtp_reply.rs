//! SMTP replies as bytes arrive: bounded, never a panic, the same replies however the bytes are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailward_net::smtp::reply::{Reply, ReplyReader};

fn replies(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Vec<Reply>, bool) {
    let mut reader = ReplyReader::default();
    let mut replies = vec![];
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_reply() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(_) => return (replies, false),
            }
        }
    }
    (replies, true)
}

fuzz_target!(|data: &[u8]| {
    let whole = replies(&mut std::iter::once(data));
    let cut = replies(&mut data.chunks(7));
    // A fault may be noticed earlier when bytes come in pieces; what was read before is the same.
    let common = whole.0.len().min(cut.0.len());
    assert_eq!(whole.0[..common], cut.0[..common]);
});
