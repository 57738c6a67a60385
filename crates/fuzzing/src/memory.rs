//! Counts what a decoder allocates: memory has to follow the data that is there, not what it claims.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    /// Bytes that this thread holds, and the most that it held; relative to some start.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(change: isize) {
    // A thread that ends has no counter any more, and nobody asks for it.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = now.wrapping_add(change);
        held.set((now, most.max(now)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may exist for a moment.
        count(size as isize);
        count(-(layout.size() as isize));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs something that may hold at most `bytes` more than before at any moment, on this thread.
///
/// # Panics
/// When it held more.
pub fn within<T>(bytes: usize, run: impl FnOnce() -> T) -> T {
    let (start, before) = HELD.get();
    HELD.set((start, start));
    let result = run();
    let (now, most) = HELD.get();
    HELD.set((now, before.max(most)));
    let used = most.wrapping_sub(start);
    assert!(
        used <= bytes as isize,
        "{used} bytes were allocated, {bytes} are allowed"
    );
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn what_is_allocated_is_seen() {
        assert_eq!(within(4096, || vec![1u8; 4000].len()), 4000);
        assert!(catch_unwind(|| within(4096, || Vec::<u8>::with_capacity(5000).capacity())).is_err());
        assert!(
            catch_unwind(|| within(4096, || {
                let mut list = vec![0u8; 3000];
                list.reserve_exact(3000);
                list.len()
            }))
            .is_err()
        );
    }
}
