//! Writes reports strictly by RFC 8460 §4.4: arrays, A-labels, UTC.
