"""What a `Client` does with messages that are there. A message is named by its `Message`, or by its id alone."""

from .message import Message
from .open_account import OpenAccount
from .privacy import Privacy


class MessageCalls:
    """A part of `Client`, which gives it the open account.

    All raise UsageError for a message that is not here, that was deleted, that waits to be sent, or that came before this
    client kept what names it; and RelayUnreachable if the relay is not reached within `patience_seconds`: what was done
    stays done here, and goes out with the next call that reaches it.
    """

    @property
    def _account(self) -> OpenAccount:
        raise RuntimeError("enter the client first: `async with Client.open(home) as client`")

    async def reply(self, to: Message | str, text: str, *, patience_seconds: float = 5.0) -> Message:
        """Send a text that answers a message, to its conversation. Raises what `send` raises."""
        return await self._account.reply(to, text, patience_seconds)

    async def react(self, message: Message | str, emoji: str, *, patience_seconds: float = 5.0) -> Message:
        """Put an emoji on a message, in the place of the own one before; an empty one takes it back.

        Returns the message as it is now.
        """
        return await self._account.acting.react(message, emoji, patience_seconds)

    async def edit(self, message: Message | str, text: str, *, patience_seconds: float = 5.0) -> Message:
        """Give an own text another wording, for everybody; earlier ones stay to be seen in `Message.edits`.

        Raises UsageError also for what others wrote.
        """
        return await self._account.acting.edit(message, text, patience_seconds)

    async def delete(self, message: Message | str, *, patience_seconds: float = 5.0) -> Message:
        """Delete an own message for everybody: what it said goes from this machine, and from theirs as they hear of it.

        One that was not sent yet does not go out. Raises UsageError also for what others wrote.
        """
        return await self._account.acting.delete(message, patience_seconds)

    async def mark_read(self, *messages: Message | str) -> None:
        """The user has seen these messages of others: their authors are told, if they are contacts and receipts are on.

        The account's other devices are told in any case. Needs no relay: receipts go out together, within some seconds,
        while this client listens. Starts the time of messages that disappear.
        """
        await self._account.acting.mark_read(messages)

    async def privacy(self) -> Privacy:
        """What this client tells contacts by itself."""
        return await self._account.acting.privacy()

    async def set_privacy(self, privacy: Privacy) -> None:
        """Say what this client may tell contacts by itself, from now on."""
        await self._account.acting.set_privacy(privacy)

    async def typing(self, to: str, is_typing: bool = True) -> bool:
        """Let a contact know that the user writes to them, or has stopped; call it again every few seconds meanwhile.

        Never kept and never tried again; False if it did not go out: no connection (`events` makes one), no contact that the
        user has written to and that has answered, switched off, or told just now. Raises UsageError, UnknownRecipient.
        """
        return await self._account.passing.typing(await self._account.contact(to), is_typing=is_typing)

    async def presence(self, to: str, is_here: bool = True) -> bool:
        """Let a contact know that the user is here, or goes; as `typing`."""
        return await self._account.passing.presence(await self._account.contact(to), is_here=is_here)

    async def unopened(self) -> dict[str, int]:
        """How many envelopes are kept that did not open, by the word for what was wrong (`redirected`, `undecryptable` …)."""
        return await self._account.acting.unopened()
