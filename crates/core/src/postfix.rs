//! Postfix as a client of the policy daemon: frames, questions, answers.
//!
//! [`netstring`] takes frames out of a stream of bytes, [`socketmap`] reads what stands in one and says
//! which keys are answered without asking anybody, [`answer`] tells a [`crate::delivery::DeliveryPolicy`]
//! in the words of Postfix' `smtp_tls_policy_maps`. Everything here is a function of bytes: the daemon
//! adds sockets and time.

pub mod answer;
pub mod netstring;
pub mod socketmap;
