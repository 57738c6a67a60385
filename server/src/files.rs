//! File descriptors: each connection is one, and many shells allow 1,024.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What a process uses beside connections: database, log, listeners, the runtime.
const OWN: u64 = 128;

/// Allows as many as the system lets us, and says so if these connections would not fit.
pub(crate) fn allow(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let most = rustix::process::Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // Some systems have a lower one that they do not tell. Then it stays as it is.
        if setrlimit(Resource::Nofile, most).is_ok() {
            limit.current = limit.maximum;
        }
    }
    // None: without end.
    if let Some(files) = limit.current
        && files < connections as u64 + OWN
    {
        tracing::warn!(
            files,
            connections,
            "fewer files may be open than connections are allowed: raise the limit (ulimit -Hn), or \
             lower connections in RLY_LIMITS"
        );
    }
}
