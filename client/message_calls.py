"""What a `Client` does with messages that are there. A message is named by its `Message`, or by its id alone."""

from .message import Message
from .open_account import OpenAccount


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
