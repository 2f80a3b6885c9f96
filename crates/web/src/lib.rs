//! The dashboard and the JSON API over read models.
