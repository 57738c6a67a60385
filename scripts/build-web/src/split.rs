//! One module in two: what the first page needs, and what comes later. Where they part is said in the
//! code, by `wasm_split`; what only the later part needs goes with it.

use crate::{
    error::{self, BuildError},
    site,
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use wasm_split_cli_support::{Options, transform};

/// The script that the linker's import names. It becomes a part of the glue.
const LINK: &str = "./link.js";
/// The later parts' names begin with it.
const PART: &str = "split_";

/// How a module was split.
pub struct Split {
    /// What comes later, by name.
    pub parts: Vec<String>,
    link: String,
}

/// Splits the module `wasm` that belongs to `name`, into a fresh `folder`. Its first part has still to
/// go through wasm-bindgen: [`main`].
pub fn split(name: &str, wasm: &[u8], folder: &Path) -> Result<Split, BuildError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| BuildError::File(folder.into(), error))?;
    }
    let glue = format!("./{name}.js");
    let main = main(folder);
    let mut options = Options::new(wasm);
    options.output_dir = folder;
    options.main_out_path = &main;
    options.main_module = &glue;
    options.link_name = LINK;
    transform(options).map_err(|error| BuildError::Split(name.into(), format!("{error:#}")))?;
    Split::read(folder)
}

/// The first part.
pub fn main(folder: &Path) -> PathBuf {
    folder.join("main.wasm")
}

/// A later part.
pub fn part(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{PART}{name}.wasm"))
}

impl Split {
    /// What [`split`] left in the folder.
    pub fn read(folder: &Path) -> Result<Self, BuildError> {
        let mut parts: Vec<String> = site::entries(folder)?
            .iter()
            .filter_map(|name| Some(name.strip_prefix(PART)?.strip_suffix(".wasm")?.to_owned()))
            .collect();
        parts.sort();
        let link = folder.join(LINK);
        let link = String::from_utf8_lossy(&error::read(&link)?).into_owned();
        Ok(Self { parts, link })
    }

    /// The glue with the script in it. They import each other, which hashed names do not allow.
    /// `file` tells under which name a part is served, beside the glue.
    pub fn complete(
        &self,
        name: &str,
        glue: &str,
        file: impl Fn(&str) -> String,
    ) -> Result<String, BuildError> {
        let unknown = |what: &str| BuildError::Split(name.into(), format!("no {what} in the script"));
        let import = format!("import {{ initSync }} from \"./{name}.js\";");
        let mut link = self
            .link
            .strip_prefix(&import)
            .ok_or_else(|| unknown("import"))?
            .to_owned();
        for part in &self.parts {
            let plain = format!("\"./{PART}{part}.wasm\"");
            if !link.contains(&plain) {
                return Err(unknown(part));
            }
            link = link.replace(&plain, &format!("\"./{}\"", file(part)));
        }
        let mut exported = Vec::new();
        let mut lines = Vec::new();
        // Whoever asks for a part is told that it did not come, and says so to the person.
        for line in link.lines().filter(|line| line.trim() != "console.error(e);") {
            match line.strip_prefix("export const ") {
                Some(rest) => {
                    exported.push(rest.split(' ').next().unwrap_or_default().to_owned());
                    lines.push(format!("const {rest}"));
                }
                None => lines.push(line.to_owned()),
            }
        }
        let (link, exported) = (lines.join("\n"), exported.join(", "));
        let mut whole = format!("const link = (() => {{\n{link}\nreturn {{ {exported} }};\n}})();\n");
        let from = format!(" from \"{LINK}\"");
        let mut used = false;
        for line in glue.lines() {
            match line.trim_end_matches(';').strip_suffix(&from) {
                Some(import) => {
                    let import = import
                        .strip_prefix("import * as ")
                        .ok_or_else(|| unknown("use"))?;
                    whole += &format!("const {import} = link;\n");
                    used = true;
                }
                None => {
                    whole += line;
                    whole.push('\n');
                }
            }
        }
        if used { Ok(whole) } else { Err(unknown("use")) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn example(link: &str) -> Split {
        Split {
            parts: vec!["later".into()],
            link: link.into(),
        }
    }

    #[test]
    fn the_script_becomes_a_part_of_the_glue() {
        let split = example(
            "import { initSync } from \"./app.js\";\n\nlet a = initSync();\n    console.error(e);\nexport const load = get(\"./split_later.wasm\");\n",
        );
        let glue = "import * as import1 from \"./link.js\"\nlet wasm;\nfunction initSync() {}\n";
        let whole = split
            .complete("app", glue, |part| format!("{part}.0123.wasm"))
            .unwrap();
        assert_eq!(
            whole,
            "const link = (() => {\n\n\nlet a = initSync();\nconst load = get(\"./later.0123.wasm\");\n\
             return { load };\n})();\nconst import1 = link;\nlet wasm;\nfunction initSync() {}\n"
        );
    }

    #[test]
    fn a_script_of_another_form_is_refused() {
        let glue = "import * as import1 from \"./link.js\"\n";
        let whole = |link: &str, glue: &str| example(link).complete("app", glue, str::to_owned);
        let link =
            "import { initSync } from \"./app.js\";\nexport const load = get(\"./split_later.wasm\");\n";
        assert!(whole(link, glue).is_ok());
        for (link, glue) in [
            (link, "import { load } from \"./link.js\"\n"),
            (link, "let wasm;\n"),
            (
                "import { initSync } from \"./app.js\";\nexport const load = get();\n",
                glue,
            ),
            ("export const load = get(\"./split_later.wasm\");\n", glue),
        ] {
            assert!(whole(link, glue).is_err(), "{link}{glue}");
        }
    }
}
