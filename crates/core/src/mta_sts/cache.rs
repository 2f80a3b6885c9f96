//! What a sender does at its next turn with the policy it has cached (RFC 8461 §3.3, §5.1).
