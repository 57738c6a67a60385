//! Keeps what is seen where it is while other rows come or go around it. Browsers have this built in,
//! but not all of them.

use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

/// A row of a list that scrolls, and how far it is below the upper edge of what is seen.
#[derive(Clone)]
pub struct Place {
    row: HtmlElement,
    below: i32,
}

impl Place {
    /// Of the first row that is seen and stays.
    pub fn of(list: &Element) -> Option<Self> {
        let top = list.scroll_top();
        let rows = list.children();
        let row = |n| rows.item(n)?.dyn_into::<HtmlElement>().ok();
        let (mut from, mut to) = (0, rows.length());
        while from < to {
            let middle = from.midpoint(to);
            let row = row(middle)?;
            if row.offset_top() + row.offset_height() <= top {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        // A day's line goes when an older message of that day comes.
        while row(from)?.class_name() == "day" {
            from += 1;
        }
        let row = row(from)?;
        let below = row.offset_top() - top;
        Some(Self { row, below })
    }

    /// Scrolls so that the row is where it was.
    pub fn restore(&self, list: &Element) {
        if self.row.is_connected() {
            list.set_scroll_top(self.row.offset_top() - self.below);
        }
    }
}
