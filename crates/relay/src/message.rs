//! A message on its way to a socket. The two that are counted in thousands are encoded only when they
//! are taken, many at a time and into one piece of memory.

use crate::queue::Deliverable;
use bytes::Bytes;
use rly_protocol::{
    QueueId, Writer,
    frame::{Req, ServerFrame, VERSION},
};

/// Bytes of a Deliver beside the body.
const DELIVER: usize = 1 + 1 + 16 + 8 + 1 + 16 + 4;
/// Bytes of a Done.
const DONE: usize = 1 + 1 + 4;

/// One binary websocket message.
#[derive(Debug)]
pub(crate) struct Message(Content);

#[derive(Debug)]
enum Content {
    Deliver(QueueId, Deliverable),
    Done(Req),
    Encoded(Bytes),
    /// What happened in a room, encoded once for all.
    Event(Bytes),
}

impl Message {
    pub fn deliver(queue: QueueId, envelope: Deliverable) -> Self {
        Self(Content::Deliver(queue, envelope))
    }

    pub fn answer(frame: &ServerFrame) -> Self {
        Self(match frame {
            ServerFrame::Done { req } => Content::Done(*req),
            other => Content::Encoded(other.to_message()),
        })
    }

    pub fn event(frame: Bytes) -> Self {
        Self(Content::Event(frame))
    }

    pub fn is_delivery(&self) -> bool {
        matches!(self.0, Content::Deliver(..) | Content::Event(_))
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        match &self.0 {
            Content::Deliver(_, envelope) => DELIVER + envelope.body.len(),
            Content::Done(_) => DONE,
            Content::Encoded(bytes) | Content::Event(bytes) => bytes.len(),
        }
    }

    /// Appends its bytes.
    pub fn append_to(self, to: &mut Vec<u8>) {
        let frame = match self.0 {
            Content::Encoded(bytes) | Content::Event(bytes) => return to.extend_from_slice(&bytes),
            Content::Done(req) => ServerFrame::Done { req },
            Content::Deliver(queue, envelope) => ServerFrame::Deliver {
                queue,
                seq: envelope.seq,
                kind: envelope.kind,
                id: envelope.id,
                body: envelope.body,
            },
        };
        let mut writer = Writer::after(std::mem::take(to));
        writer.put(&VERSION);
        writer.put(&frame);
        *to = writer.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rly_protocol::{EnvelopeId, ErrorCode, frame::Kind};

    #[test]
    fn each_is_as_long_as_it_says_and_what_the_codec_writes() {
        let envelope = Deliverable {
            seq: 7,
            id: EnvelopeId([1; 16]),
            kind: Kind::Notice,
            body: Bytes::from_static(&[2; 256]),
        };
        let deliver = ServerFrame::Deliver {
            queue: QueueId([3; 16]),
            seq: 7,
            id: EnvelopeId([1; 16]),
            kind: Kind::Notice,
            body: envelope.body.clone(),
        };
        let done = ServerFrame::Done { req: 9 };
        let error = ServerFrame::error(1, ErrorCode::QueueFull, 5);
        for (message, frame) in [
            (Message::deliver(QueueId([3; 16]), envelope), deliver),
            (Message::answer(&done), done),
            (Message::answer(&error), error),
        ] {
            let (len, mut bytes) = (message.size(), b"before".to_vec());
            message.append_to(&mut bytes);
            assert_eq!(bytes.len(), 6 + len);
            assert_eq!(frame.to_message(), bytes[6..]);
        }
    }
}
