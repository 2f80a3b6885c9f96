//! The receiving side: policy host, intake of reports, monitor.
