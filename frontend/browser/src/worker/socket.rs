//! The websocket.

use bytes::Bytes;
use js_sys::Uint8Array;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{BinaryType, Event, MessageEvent, WebSocket};

/// What happens to a websocket.
pub enum SocketEvent {
    /// It is open.
    Opened,
    /// A binary message came.
    Frame(Bytes),
    /// It is closed, or could not be opened.
    Closed,
}

/// An open websocket, or one that is being opened. Dropped, it is closed and says nothing more.
pub struct Socket {
    socket: WebSocket,
    _on_open: Closure<dyn FnMut(Event)>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(Event)>,
}

impl Socket {
    /// Opens the server's websocket. `on` hears what happens to it.
    ///
    /// # Errors
    /// What the browser threw.
    pub fn open(origin: &str, on: impl Fn(SocketEvent) + 'static) -> Result<Self, JsValue> {
        // "http" becomes "ws", and "https" "wss".
        let socket = WebSocket::new(&format!("{}/ws", origin.replacen("http", "ws", 1)))?;
        socket.set_binary_type(BinaryType::Arraybuffer);

        let on = Rc::new(on);
        let opened = Rc::clone(&on);
        let on_open = Closure::<dyn FnMut(Event)>::new(move |_| opened(SocketEvent::Opened));
        let frame = Rc::clone(&on);
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            // A text message is none of ours, and the server sends none.
            if event.data().is_object() {
                let bytes = Uint8Array::new(&event.data()).to_vec();
                frame(SocketEvent::Frame(Bytes::from(bytes)));
            }
        });
        // An error is always followed by this.
        let on_close = Closure::<dyn FnMut(Event)>::new(move |_| on(SocketEvent::Closed));
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Ok(Self {
            socket,
            _on_open: on_open,
            _on_message: on_message,
            _on_close: on_close,
        })
    }

    /// Sends a binary message. On a socket that is closing it is lost, and the close is told.
    pub fn send(&self, message: &[u8]) {
        if self.socket.ready_state() == WebSocket::OPEN {
            let _ = self.socket.send_with_u8_array(message);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close();
    }
}
