// What boot.js lets into a page. Run by: node --test frontend/
import assert from "node:assert/strict";
import test from "node:test";
import { isPlain } from "../app/public/boot.js";

test("structure passes", () => {
  for (const html of [
    "",
    "plain text, 1 > 0 & more",
    '<p class="a b">one<br>two</p>',
    '<div><!><span hidden>x</span><!----><!--hot--></div>',
    '<a href="/i">a</a><a href="#top">b</a><a href="https://example.org/">c</a><img src="/x.svg" alt=""/>',
    '<svg viewBox="0 0 1 1" aria-hidden="true"><path d="M0 0h1"></path></svg>',
    '<button type="button" disabled>Go</button>',
  ]) {
    assert.ok(isPlain(html), html);
  }
});

test("everything else is refused", () => {
  for (const html of [
    "<script>alert(1)</script>",
    "<SCRIPT src=/x.js></SCRIPT>",
    "<style>p{}</style>",
    "<iframe></iframe>",
    '<object data="/x"></object>',
    '<embed src="/x">',
    '<link rel="stylesheet" href="/x">',
    '<meta http-equiv="refresh" content="0">',
    '<base href="/">',
    '<template><p></p></template>',
    "<noscript><p></p></noscript>",
    "<math></math>",
    "<foreignObject></foreignObject>",
    '<p onclick="alert(1)">x</p>',
    '<p ONCLICK="alert(1)">x</p>',
    '<img src="/x" onerror="alert(1)">',
    "<img src=/x onerror=alert(1)>",
    "<p class='x'>x</p>",
    '<p style="color:red">x</p>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" javascript:alert(1)">x</a>',
    '<a href="java&#115;cript:alert(1)">x</a>',
    '<a href="data:text/html,x">x</a>',
    '<form action="/x"></form>',
    '<button formaction="/x"></button>',
    '<svg><use xlink:href="#x"></use></svg>',
    '<!--><img src="/x" onerror="alert(1)">-->',
    '<!-- --!><img src="/x" onerror="alert(1)"> -->',
    '<textarea><p class="</textarea><img src=x onerror=alert(1)>"></textarea>',
    "<p",
    "<p <b>",
    "< p>",
    "<![CDATA[x]]>",
    '<p/onclick="alert(1)">x</p>',
    // White space for JavaScript, part of a name for a browser: it finds the handler in the "value".
    '<a\vclass="/ onclick=alert(1) ">x</a>',
    '<p\u00a0class="/ onclick=alert(1) ">x</p>',
    '<p class="a"\u2028title="b">x</p>',
  ]) {
    assert.ok(!isPlain(html), html);
  }
});
