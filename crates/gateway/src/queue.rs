//! What waits for one account: slices to claim, slices claimed and ready to leave, parts to hand over again.
//!
//! No I/O and no waiting; binds, claims and answers meet here under one lock that is taken once per batch.
//!
//! Must stay true: only claimed slices are ready; each message is looked at right before it leaves; urgent goes before
//! normal, normal before bulk, and the others leave urgent its reserved room.

mod kinds;
mod resting;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use loa_ports::carrier::Pulled;

use crate::live::Place;
use crate::look::{Leaving, Look, at_campaign, at_person, knows_enough};
use crate::message::Message;
use crate::offer::Offer;

pub use kinds::{Begun, Leaves, Word};
pub(crate) use kinds::{Moment, Pending, Purse, Todo};

/// Urgent, normal, bulk.
pub(crate) const LANES: usize = 3;
const URGENT: usize = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    number: u32,
    generation: u16,
}

#[derive(Debug)]
struct Shelf<R> {
    generation: u16,
    begun: Option<Begun<R>>,
}

/// The queue of one account.
#[derive(Debug)]
pub(crate) struct Queue<R> {
    pending: [VecDeque<Pending>; LANES],
    pending_messages: [usize; LANES],
    slots: Vec<Shelf<R>>,
    free: Vec<u32>,
    ready: [VecDeque<Slot>; LANES],
    again: [VecDeque<(Slot, u16)>; LANES],
    resting: Vec<resting::Resting>,
    /// Parts claimed and not handed over.
    waiting: [u32; LANES],
    /// Tokens taken and not used: of the common share, of the urgent share too.
    tokens: [u32; 2],
    window: u32,
    reserve: u32,
    begun: usize,
    pullable: bool,
    closing: bool,
}

impl<R> Queue<R> {
    /// A queue whose lines have windows of so many parts.
    pub(crate) fn new(window: u32) -> Self {
        let reserve = if window < 4 { 0 } else { (window / 10).max(1) };
        Self {
            pending: Default::default(),
            pending_messages: [0; LANES],
            slots: Vec::new(),
            free: Vec::new(),
            ready: Default::default(),
            again: Default::default(),
            resting: Vec::new(),
            waiting: [0; LANES],
            tokens: [0; 2],
            window: window.max(1),
            reserve,
            begun: 0,
            pullable: false,
            closing: false,
        }
    }

    /// A slice was read and nobody is known to have claimed it.
    pub(crate) fn offer(&mut self, pending: Pending) {
        let lane = lane_of(&pending.offer);
        self.pending_messages[lane] += pending.offer.range(pending.slice).len();
        self.pending[lane].push_back(pending);
    }

    /// Messages of a lane that wait for their claim.
    pub(crate) fn backlog(&self, lane: usize) -> usize {
        self.pending_messages[lane]
    }

    /// No slice waits for its claim, and none is claimed and not finished.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.begun == 0 && self.pending.iter().all(VecDeque::is_empty)
    }

    /// Slices under a claim of this process that are not finished.
    pub(crate) fn begun(&self) -> usize {
        self.begun
    }

    /// Takes out what was read at a place that is somebody else's now.
    pub(crate) fn drop_place(&mut self, place: Place) -> Vec<Pending> {
        let mut dropped = Vec::new();
        for lane in 0..LANES {
            let (gone, kept) =
                std::mem::take(&mut self.pending[lane]).into_iter().partition(|slice| slice.place == place);
            self.pending[lane] = kept;
            dropped.append(&mut Vec::from(gone));
        }
        dropped.iter().for_each(|pending| self.count_out(pending));
        dropped
    }

    fn count_out(&mut self, pending: &Pending) {
        self.pending_messages[lane_of(&pending.offer)] -= pending.offer.range(pending.slice).len();
    }

    /// Takes out pending slices to claim, at most `max`. What is claimed to be handed over runs ahead of the wire by at
    /// most `ahead_max` parts, or one slice. `all`: looks at every slice, not only at those in front.
    pub(crate) fn collect(
        &mut self,
        ahead_max: u32,
        all: bool,
        max: usize,
        mut judge: impl FnMut(&Arc<Offer>) -> Todo,
        out: &mut Vec<(Pending, Todo)>,
    ) {
        let mut ahead = 0;
        for lane in 0..LANES {
            ahead += self.waiting[lane];
            // Claims are made when half of what may run ahead has left: many per commit.
            let mut begin = ahead == 0 || ahead <= ahead_max / 2;
            let mut kept = Vec::new();
            while let Some(pending) = self.pending[lane].pop_front() {
                let mut todo = if out.len() < max && !self.closing { judge(&pending.offer) } else { Todo::Wait };
                if todo == Todo::Begin {
                    let parts = pending.offer.parts(pending.slice);
                    begin = begin && (ahead == 0 || ahead.saturating_add(parts) <= ahead_max);
                    if begin {
                        ahead = ahead.saturating_add(parts);
                    } else {
                        todo = Todo::Wait;
                    }
                }
                if todo == Todo::Wait {
                    kept.push(pending);
                    if out.len() >= max || (!begin && !all) {
                        break;
                    }
                } else {
                    self.count_out(&pending);
                    out.push((pending, todo));
                }
            }
            kept.into_iter().rev().for_each(|pending| self.pending[lane].push_front(pending));
        }
    }

    /// Whether claims should be made: something is pending, and little is left to hand over.
    pub(crate) fn is_hungry(&self, ahead_max: u32) -> bool {
        let mut ahead = 0;
        (0..LANES).any(|lane| {
            ahead += self.waiting[lane];
            !self.pending[lane].is_empty() && (ahead == 0 || ahead <= ahead_max / 2)
        })
    }

    /// A slice was claimed: it may leave from now on. Gives it back if there is nothing to send in it.
    pub(crate) fn begin(&mut self, begun: Begun<R>) -> Option<Begun<R>> {
        if begun.open == 0 {
            return Some(begun);
        }
        let lane = lane_of(&begun.offer);
        self.waiting[lane] += begun.waiting_parts();
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Shelf { generation: 0, begun: None });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.slots[number as usize];
        place.begun = Some(begun);
        let slot = Slot { number, generation: place.generation };
        self.ready[lane].push_back(slot);
        self.begun += 1;
        self.pullable = true;
        if self.closing { self.put_back(slot) } else { None }
    }

    /// Hands over what may leave now: whole messages, at most `room` parts. Slices that end by it go to `finished`.
    pub(crate) fn pull(
        &mut self,
        room: usize,
        moment: &Moment<'_>,
        purse: &Purse<'_>,
        emit: &mut dyn FnMut(Leaves<'_, R>),
        finished: &mut Vec<Begun<R>>,
    ) -> Pulled {
        let mut room = u32::try_from(room).unwrap_or(u32::MAX);
        let mut pulled = Pulled::Empty;
        for lane in 0..LANES {
            pulled = self.pull_lane(lane, &mut room, moment, purse, emit, finished);
            if pulled != Pulled::Empty {
                break;
            }
        }
        if pulled == Pulled::Empty {
            self.pullable = false;
        }
        self.give_tokens_back(purse, pulled);
        pulled
    }

    fn pull_lane(
        &mut self,
        lane: usize,
        room: &mut u32,
        moment: &Moment<'_>,
        purse: &Purse<'_>,
        emit: &mut dyn FnMut(Leaves<'_, R>),
        finished: &mut Vec<Begun<R>>,
    ) -> Pulled {
        let urgent = lane == URGENT;
        let reserve = if urgent { 0 } else { self.reserve };
        let mut seen: Option<(Slot, Look)> = None;
        while let Some((slot, at)) = self.next(lane) {
            let look = match seen {
                Some((known, look)) if known == slot => look,
                _ => self.look_at_campaign(slot, moment),
            };
            seen = Some((slot, look));
            let look = if look == Look::Go { self.look_at_person(slot, at, moment) } else { look };
            match look {
                Look::Go => {}
                Look::Hold => return Pulled::Empty,
                Look::Back(why) => {
                    finished.extend(self.change(slot, at, |message| message.go_back(why)));
                    continue;
                }
            }
            let Some(message) = self.get(slot).and_then(|begun| begun.messages.get(at)) else { continue };
            // A text of more parts than the window holds can only leave piecemeal.
            let parts = message.waiting_parts().min(self.window - reserve);
            if room.saturating_sub(reserve) < parts {
                return Pulled::Full;
            }
            if let Some(wait) = self.take_tokens(lane, parts, room.saturating_sub(reserve), purse) {
                return Pulled::Paced(wait);
            }
            *room -= parts;
            self.hand_over(lane, slot, at, parts, emit);
        }
        Pulled::Empty
    }

    /// Makes sure that the message's tokens are there; else says when to ask again.
    fn take_tokens(&mut self, lane: usize, parts: u32, room: u32, purse: &Purse<'_>) -> Option<Duration> {
        let urgent = lane == URGENT;
        let there = self.tokens[usize::from(urgent)];
        if there < parts {
            let wanted = room.min(self.waiting[lane]).max(parts) - there;
            let taken = purse.bucket.take(purse.account, wanted, urgent);
            self.tokens[usize::from(urgent)] += taken.parts;
            if there + taken.parts < parts {
                return Some(taken.wait);
            }
        }
        self.tokens[usize::from(urgent)] -= parts;
        None
    }

    /// What was taken and is not needed soon is given back; a message that gathers its tokens keeps them.
    fn give_tokens_back(&mut self, purse: &Purse<'_>, pulled: Pulled) {
        if matches!(pulled, Pulled::Paced(_)) {
            return;
        }
        let unused: u32 = self.tokens.iter().sum();
        if unused > 0 {
            self.tokens = [0; 2];
            purse.bucket.give(purse.account, unused);
        }
    }

    fn hand_over(&mut self, lane: usize, slot: Slot, at: usize, parts: u32, emit: &mut dyn FnMut(Leaves<'_, R>)) {
        let Some(begun) = self.slots[slot.number as usize].begun.as_mut() else { return };
        let leaving = begun.messages[at].hand_over(parts);
        self.waiting[lane] -= leaving.count_ones();
        emit(Leaves { begun, at, handle: handle(slot, at), parts: leaving });
    }

    /// The next message of a lane with parts to hand over: those that go again first.
    fn next(&mut self, lane: usize) -> Option<(Slot, usize)> {
        while let Some(&(slot, at)) = self.again[lane].front() {
            let message = self.get(slot).and_then(|begun| begun.messages.get(usize::from(at)));
            if message.is_some_and(|message| message.waiting() != 0) {
                return Some((slot, at.into()));
            }
            self.again[lane].pop_front();
        }
        while let Some(&slot) = self.ready[lane].front() {
            if let Some(begun) = self.get_mut(slot) {
                while begun.messages.get(begun.cursor).is_some_and(|message| message.waiting() == 0) {
                    begun.cursor += 1;
                }
                if begun.cursor < begun.messages.len() {
                    return Some((slot, begun.cursor));
                }
            }
            self.ready[lane].pop_front();
        }
        None
    }

    fn look_at_campaign(&self, slot: Slot, moment: &Moment<'_>) -> Look {
        self.get(slot).map_or(Look::Hold, |begun| look_at_offer(&begun.offer, moment))
    }

    fn look_at_person(&self, slot: Slot, at: usize, moment: &Moment<'_>) -> Look {
        let Some(begun) = self.get(slot).filter(|_| !moment.blocks.is_empty()) else { return Look::Go };
        let address = begun.offer.address_hash(moment.key, begun.recipient(at));
        let blocked = moment.blocks.blocks(address, begun.offer.scopes(moment.key));
        at_person(begun.offer.class, blocked, moment.now_us)
    }

    /// Whether a message that was pulled and not written yet may still leave.
    pub(crate) fn may_leave(&self, handle: u64, moment: &Moment<'_>) -> bool {
        let (slot, at) = slot_of(handle);
        let campaign = self.look_at_campaign(slot, moment);
        !self.closing && campaign == Look::Go && self.look_at_person(slot, at.into(), moment) == Look::Go
    }

    /// Takes the carrier's words; slices that end by them go to `finished`.
    pub(crate) fn take_words(&mut self, words: impl Iterator<Item = Word>, finished: &mut Vec<Begun<R>>) {
        for Word { handle, part, answer, id } in words {
            let (slot, at) = slot_of(handle);
            let closing = self.closing;
            let (mut again, mut rests) = (false, None);
            let ended = self.change(slot, at.into(), |message| {
                again = message.answer(part, answer);
                if again && closing {
                    message.put_back();
                    again = false;
                }
                rests = if closing { None } else { message.rest() };
            });
            if let Some(wait) = rests {
                self.rest(slot, at, wait);
            }
            if again && let Some(begun) = self.get(slot) {
                let lane = lane_of(&begun.offer);
                self.again[lane].push_back((slot, at));
                self.pullable = true;
            }
            match (ended, id) {
                (Some(mut begun), id) => {
                    begun.ids.extend(id.map(|id| (at, part, id)));
                    finished.push(begun);
                }
                (None, Some(id)) => {
                    if let Some(begun) = self.get_mut(slot) {
                        begun.ids.push((at, part, id));
                    }
                }
                (None, None) => {}
            }
        }
    }

    /// Looks at every slice that has something left to hand over: what may not leave any more goes back.
    pub(crate) fn sweep(&mut self, moment: &Moment<'_>, finished: &mut Vec<Begun<R>>) {
        for lane in 0..LANES {
            let slots: Vec<Slot> =
                self.ready[lane].iter().copied().chain(self.again[lane].iter().map(|(slot, _)| *slot)).collect();
            self.look_at_slots(slots, moment, finished);
        }
        let resting = self.resting.iter().map(|resting| resting.slot).collect();
        self.look_at_slots(resting, moment, finished);
        self.wake_rested(moment);
        // What was held may have become free to go.
        self.pullable = self.pullable || self.waiting.iter().any(|&parts| parts > 0);
    }

    fn look_at_slots(&mut self, slots: Vec<Slot>, moment: &Moment<'_>, finished: &mut Vec<Begun<R>>) {
        for slot in slots {
            if let Look::Back(why) = self.look_at_campaign(slot, moment) {
                finished.extend(self.change_all(slot, |message| message.go_back(why)));
            }
        }
    }

    /// Nothing more is claimed or handed over: gives back everything that has not left, and says what was never claimed.
    pub(crate) fn close(&mut self, finished: &mut Vec<Begun<R>>) -> Vec<Pending> {
        self.closing = true;
        let all: Vec<Slot> =
            (0..).zip(&self.slots).map(|(number, place)| Slot { number, generation: place.generation }).collect();
        for slot in all {
            finished.extend(self.put_back(slot));
        }
        self.pending_messages = [0; LANES];
        std::mem::take(&mut self.pending).into_iter().flatten().collect()
    }

    fn put_back(&mut self, slot: Slot) -> Option<Begun<R>> {
        self.change_all(slot, Message::put_back)
    }

    /// Whether [`Queue::pull`] may yield something.
    pub(crate) fn is_pullable(&self) -> bool {
        self.pullable
    }

    fn change_all(&mut self, slot: Slot, change: impl Fn(&mut Message)) -> Option<Begun<R>> {
        let messages = self.get(slot).map_or(0, |begun| begun.messages.len());
        for at in 0..messages {
            let waits =
                self.get(slot)?.messages.get(at).is_some_and(|message| message.waiting() != 0 || message.is_resting());
            if waits && let Some(ended) = self.change(slot, at, &change) {
                return Some(ended);
            }
        }
        None
    }

    /// Changes a message and counts what that means; the slice, if it ends by it.
    fn change(&mut self, slot: Slot, at: usize, change: impl FnOnce(&mut Message)) -> Option<Begun<R>> {
        let place = self.slots.get_mut(slot.number as usize).filter(|place| place.generation == slot.generation)?;
        let begun = place.begun.as_mut()?;
        let lane = lane_of(&begun.offer);
        let message = begun.messages.get_mut(at)?;
        let (waited, over) = (message.waiting_parts(), message.is_over());
        change(message);
        self.waiting[lane] = self.waiting[lane] + message.waiting_parts() - waited;
        begun.open -= usize::from(message.is_over() && !over);
        if begun.open > 0 {
            return None;
        }
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot.number);
        self.begun -= 1;
        place.begun.take()
    }

    /// The release of a message that is out.
    pub(crate) fn offer_of(&self, handle: u64) -> Option<&Arc<Offer>> {
        self.get(slot_of(handle).0).map(|begun| &begun.offer)
    }

    fn get(&self, slot: Slot) -> Option<&Begun<R>> {
        let place = self.slots.get(slot.number as usize).filter(|place| place.generation == slot.generation)?;
        place.begun.as_ref()
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Begun<R>> {
        let place = self.slots.get_mut(slot.number as usize).filter(|place| place.generation == slot.generation)?;
        place.begun.as_mut()
    }
}

/// Looks at what all messages of a release share.
pub(crate) fn look_at_offer(offer: &Offer, moment: &Moment<'_>) -> Look {
    let state = moment.stops.state(offer.campaign);
    let leaving = Leaving { lane: offer.lane, hand_over_by_us: offer.hand_over_by_us, state };
    at_campaign(leaving, moment.now_us, knows_enough(offer.lane, moment.fresh, moment.clock_agrees))
}

/// The lane's place.
pub(crate) fn lane_of(offer: &Offer) -> usize {
    usize::from(offer.lane.code()).saturating_sub(1)
}

fn handle(slot: Slot, at: usize) -> u64 {
    u64::from(slot.generation) << 48 | u64::from(slot.number) << 16 | u64::from(u16::try_from(at).unwrap_or(u16::MAX))
}

fn slot_of(handle: u64) -> (Slot, u16) {
    let [a, b, c, d, e, f, g, h] = handle.to_be_bytes();
    let slot = Slot { number: u32::from_be_bytes([c, d, e, f]), generation: u16::from_be_bytes([a, b]) };
    (slot, u16::from_be_bytes([g, h]))
}

#[cfg(test)]
mod tests;
