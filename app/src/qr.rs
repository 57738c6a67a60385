//! A QR code as the path of an SVG.

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules of white around a code: without them scanners do not find it (ISO/IEC 18004).
const QUIET: i32 = 4;

/// A drawn code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrPath {
    /// Width and height with the quiet zone, in modules.
    pub size: i32,
    /// The dark modules, as data of an SVG path.
    pub path: String,
}

/// Draws a text; `None` if it is too long for any code.
pub fn draw(text: &str) -> Option<QrPath> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let from = x;
            while code.get_module(x, y) {
                x += 1;
            }
            if x > from {
                let (left, top, width) = (from + QUIET, y + QUIET, x - from);
                path.push_str(&format!("M{left} {top}h{width}v1h-{width}z"));
            }
            x += 1;
        }
    }
    Some(QrPath {
        size: code.size() + 2 * QUIET,
        path,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The modules that a path covers.
    fn fill(qr: &QrPath) -> Vec<(i32, i32)> {
        qr.path
            .split('M')
            .skip(1)
            .flat_map(|run| {
                let numbers: Vec<i32> = run
                    .split(|c: char| !c.is_ascii_digit())
                    .filter_map(|n| n.parse().ok())
                    .collect();
                (0..numbers[2]).map(move |i| (numbers[0] + i, numbers[1]))
            })
            .collect()
    }

    #[test]
    fn the_path_is_the_code_inside_a_quiet_zone() {
        let text = "http://127.0.0.1:3000/i#abc";
        let qr = draw(text).unwrap();
        let code = QrCode::encode_text(text, QrCodeEcc::Low).unwrap();
        let dark = fill(&qr);
        assert_eq!(qr.size, code.size() + 8);
        for y in 0..qr.size {
            for x in 0..qr.size {
                assert_eq!(dark.contains(&(x, y)), code.get_module(x - 4, y - 4), "{x} {y}");
            }
        }
    }

    #[test]
    fn too_long_is_told() {
        assert_eq!(draw(&"x".repeat(3000)), None);
        assert!(draw(&"x".repeat(2900)).is_some());
    }
}
