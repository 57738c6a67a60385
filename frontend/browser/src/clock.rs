//! The clock.

use rly_protocol::Timestamp;

/// Now.
pub fn now() -> Timestamp {
    // Milliseconds since 1970 stay far below 2^53, and a clock before 1970 counts as 1970.
    Timestamp(js_sys::Date::now() as u64)
}
