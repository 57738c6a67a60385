// Fuzzes the Trusted Types policy of boot.js: what it calls plain is parsed by a parser of the HTML
// standard (parse5) as innerHTML would, in every kind of place. It must hold nothing that runs.
//   node --test fuzz/markup.test.mjs                    20,000 rounds, always the same
//   RLY_FUZZ_SECONDS=600 RLY_FUZZ_SEED=7 node --test fuzz/markup.test.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import test from "node:test";
import { isPlain } from "../app/public/boot.js";

// The packages of the journeys: one place for what npm brings.
const packages = createRequire(new URL("../end2end/package.json", import.meta.url));
const { parseFragment } = await import(packages.resolve("parse5"));

const ROUNDS = 20_000;
const seconds = Number(process.env.RLY_FUZZ_SECONDS ?? 0);
const seed = Number(process.env.RLY_FUZZ_SEED ?? 1);

const boot = readFileSync(new URL("../app/public/boot.js", import.meta.url), "utf8");
const TAGS = new Set(boot.match(/TAGS = new Set\(\s*`([^`]*)`/)[1].split(/\s+/));

const RUNS = `script style iframe frame frameset object embed applet link meta base template noscript
  noembed noframes xmp plaintext math foreignobject animate animatemotion animatetransform set use
  image handler audio video source track portal marquee body html head title`.split(/\s+/);
// Addresses that an element of the list follows or loads. Others belong to elements that are refused.
const URLS = new Set(["href", "src", "poster", "cite"]);
const NEVER = new Set(["srcdoc", "srcset", "style", "action", "formaction", "ping"]);

/** What a browser would run, load as a document, or send somewhere; undefined if there is nothing. */
function finds(node, path = "") {
  for (const child of node.childNodes ?? []) {
    const name = child.tagName;
    if (name === undefined) continue;
    const here = `${path}/${name}`;
    if (!TAGS.has(name)) return `element ${here}`;
    for (const { name: attribute, prefix, value } of child.attrs) {
      const lower = attribute.toLowerCase();
      const shown = `${here}[${attribute}=${JSON.stringify(value)}]`;
      if (lower.startsWith("on") || NEVER.has(lower) || prefix === "xlink") return shown;
      if (URLS.has(lower) && runs(value)) return shown;
    }
    const inside = finds(child, here);
    if (inside) return inside;
    if (child.content) return `template content ${here}`;
  }
}

function runs(value) {
  try {
    return !["http:", "https:"].includes(new URL(value, "https://rly.example/i").protocol);
  } catch {
    return false; // Not an address: nothing is loaded.
  }
}

// Where markup can be put: each kind of parent parses in its own way.
const PLACES = ["template", "div", "p", "a", "button", "table", "tr", "td", "ul", "select", "form"]
  .map((name) => place(name))
  .concat(place("svg", "http://www.w3.org/2000/svg"), place("g", "http://www.w3.org/2000/svg"));

function place(name, space = "http://www.w3.org/1999/xhtml") {
  const holder = parseFragment(space.endsWith("svg") ? `<svg><${name}>` : `<${name}>`);
  const find = (node) =>
    node.tagName === name
      ? node
      : node.childNodes?.map(find).find(Boolean);
  return find(holder) ?? { nodeName: name, tagName: name, attrs: [], namespaceURI: space, childNodes: [] };
}

function verdict(html) {
  if (!isPlain(html)) return;
  const wrapped = `<svg>${html}</svg>`; // How Leptos makes SVG.
  return (
    PLACES.map((parent) => finds(parseFragment(parent, html))).find(Boolean) ??
    finds(parseFragment(wrapped))
  );
}

// ---- generation

/** mulberry32: small, and the same everywhere. */
function chance(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SPACES = [" ", " ", " ", "\t", "\n", "\f", "\r", "\r\n", "  "];
// What JavaScript, but not HTML, takes for white space; and other odd ones.
const ODD = ["\v", "\u00a0", "\u2028", "\u2029", "\ufeff", "\u3000", "\0", "\u0085", "\u200b", "ſ", "K", "İ"];
const WORDS = ["class", "id", "hidden", "title", "aria-hidden", "type", "value", "name", "d", "viewBox"];
const TRAPS = ["onclick", "onerror", "onfocus", "autofocus", "href", "src", "xlink:href", "style", "srcdoc",
  "action", "formaction", "ping", "poster", "cite", "http-equiv", "content", "x:y", "xmlns", "is", "on"];
const VALUES = ["", "a", "/", "#", "?", ".", "//x", "https:", "https:x", "/x", "javascript:alert(1)", " javascript:alert(1)",
  "&#106;avascript:alert(1)", "java&Tab;script:x", "&quot;", "' onclick=alert(1) ", "/ onclick=alert(1) ", "data:text/html,x",
  " onclick=alert(1) x=", "/\n", "\tjavascript:x", "--", "&gt;", "&lt;", "x y", "text/html", "image"];
const TEXT = ["", "x", "&lt;", ">", "\"", "'", "=", "/", "-->", "--!>", "]]>", "&", "a b", "\0"];
const COMMENTS = ["<!>", "<!---->", "<!--x-->", "<!--hot-->", "<!-->", "<!--->", "<!-- x", "<!--x--!>", "<!doctype html>",
  "<![CDATA[x]]>", "<?x?>", "</>", "</ x>", "<!x>"];

function generator(next) {
  const one = (list) => list[Math.floor(next() * list.length)];
  const tags = [...TAGS];
  const often = ["a", "p", "svg", "img", "textarea", "select", "option", "button", "form", "input", "table", "caption",
    "td", "col", "colgroup", "tr", "tbody", "li", "path", "g", "rect", "details", "dialog", "pre"];
  const space = () => (next() < 0.06 ? one(ODD) : one(SPACES));
  const cased = (text) => (next() < 0.05 ? text.toUpperCase() : text);
  const name = () => cased(one(next() < 0.8 ? WORDS : TRAPS));
  const attribute = () => {
    const quote = next() < 0.95 ? '"' : one(["'", "", "`"]);
    return space() + name() + (next() < 0.75 ? `=${quote}${one(VALUES)}${next() < 0.1 ? one(ODD) : ""}${quote}` : "");
  };
  const tag = () => cased(next() < 0.03 ? one(RUNS) : next() < 0.6 ? one(often) : one(tags));
  const part = () => {
    const kind = next();
    if (kind < 0.2) return one(TEXT);
    if (kind < 0.28) return one(COMMENTS);
    if (kind < 0.5) return `</${tag()}${next() < 0.1 ? attribute() : ""}>`;
    const attributes = Array.from({ length: Math.floor(next() * 4) }, attribute).join("");
    return `<${tag()}${attributes}${next() < 0.1 ? space() : ""}${next() < 0.15 ? "/" : ""}>`;
  };
  const fresh = () => Array.from({ length: 1 + Math.floor(next() * 6) }, part).join("");
  const at = (text) => Math.floor(next() * (text.length + 1));
  const changed = (text) => {
    const i = at(text);
    const j = Math.min(text.length, i + Math.floor(next() * 4));
    const kind = next();
    if (kind < 0.3) return text.slice(0, i) + one([...ODD, ...SPACES, "<", ">", "/", '"', "=", "!", "-"]) + text.slice(i);
    if (kind < 0.5) return text.slice(0, i) + text.slice(j);
    if (kind < 0.7) return text.slice(0, i) + part() + text.slice(j);
    if (kind < 0.85) return text.slice(0, i) + attribute() + text.slice(j);
    return text.slice(0, i) + text.slice(at(text));
  };
  return { fresh, changed, one };
}

/** What is new about markup that passed: its shape as a browser sees it. */
function shape(html) {
  const walk = (node) =>
    `${node.nodeName}[${(node.attrs ?? []).map((a) => a.name)}](${(node.childNodes ?? []).map(walk)})`;
  return walk(parseFragment(html));
}

test("nothing that runs is called plain", (context) => {
  const next = chance(seed);
  const { fresh, changed, one } = generator(next);
  const pool = [...boot.matchAll(/"(<[^"]*>)"/g)].map(([, html]) => html);
  const shapes = new Set();
  const end = Date.now() + seconds * 1000;
  let rounds = 0;
  let plain = 0;
  for (; seconds ? rounds % 256 || Date.now() < end : rounds < ROUNDS; rounds++) {
    let html = pool.length > 0 && next() < 0.6 ? one(pool) : fresh();
    for (let n = Math.floor(next() * 3); n > 0; n--) html = changed(html);
    const found = verdict(html);
    assert.equal(found, undefined, `seed ${seed}, round ${rounds}: ${JSON.stringify(html)}`);
    if (!isPlain(html)) continue;
    plain++;
    if (pool.length < 4000 && html.length < 300) {
      const seen = shape(html);
      if (!shapes.has(seen)) {
        shapes.add(seen);
        pool.push(html);
      }
    }
  }
  context.diagnostic(`${rounds} inputs, ${plain} plain, seed ${seed}`);
  assert.ok(plain > rounds / 20, "most inputs are refused at once: the generator is no good");
});

test("the list of elements holds none that runs", () => {
  for (const name of RUNS) assert.ok(!TAGS.has(name), name);
});
