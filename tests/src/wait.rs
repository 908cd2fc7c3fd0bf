//! Waiting for what real processes do.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far more than any step takes, a whole sweep on a slow and busy machine among them. A test whose
/// programs hang fails by then.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_found(what, || is_so().then_some(()));
}

/// Looks until there is something, and returns it.
pub fn until_found<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it takes too long until {what}");
        sleep(PAUSE);
    }
}
