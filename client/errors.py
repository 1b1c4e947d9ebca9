"""Every failure of the client, in one tree; each knows its stable code and the exit status of the command.

ClientError                       1  refused or failed
├── UsageError                    2  the caller asked for something that makes no sense
├── RelayUnreachable              3  nothing is lost: what was to be sent stays in the outbox
├── DistributorUnreachable        3  the push server that was to tell of messages; nothing is lost
├── Refused                       1  the relay said no; `code` is the relay's
├── UnknownRecipient              1  nobody has this handle, or wants to be found by it
├── NotSent                       1  a message that will not go out any more, and why
├── Replaced                      1  a newer connection of this device took the mailbox
├── DeviceRevoked                 1  this device is in its account's list no more
├── NotManager                    1  another device has to do it
├── LinkFailed                    1  a new device that did not come into the account
├── RecoveryImpossible            1  an account, or words, that nothing can be recovered with
├── BackupOutdated                1  the backup that the relay gave is older than the newest there was
├── BackupRefused                 1  … is none of this account, or damaged
├── RelayMisbehaved               1  an answer that is not of the protocol
├── StoreError                    1  the own folder
│   ├── NoAccount                    nothing registered there yet
│   ├── AccountExists                something registered there already
│   ├── LoosePermissions             others can read the key or the store
│   ├── WrongPassphrase              also: one is needed and none was given
│   ├── StoreDamaged                 the store does not open with its key
│   └── StoreTooNew                  written by a newer version
├── TrustError                    1  keys that are not what they must be; sending stops
│   ├── RelayKeyChanged              the relay's signing key is not the pinned one
│   ├── DevicesForked                two device lists of one version, both signed
│   ├── DevicesRefused               a device list that breaks a rule of its chain
│   └── LogRefused                   the relay does not prove that what it shows is in its log
│       ├── LogSplit                 it signed two heads that cannot both be true
│       └── LogRolledBack            it answers with an older log than before
├── GroupError                    1  a group
│   ├── UnknownGroup                 no group of this id here
│   ├── NotInGroup                   this account is not in it (any more)
│   ├── NotEntitled                  the own role or rights do not allow it
│   ├── CommitImpossible             a change that makes no sense in the group as it is
│   ├── GroupTooNew                  it uses what this version does not know: reading goes on, writing does not
│   └── GroupNotReady                its present secret has not come yet
└── MediaError                    1  a file
    ├── FileUnavailable              the relay does not have it (any more)
    └── FileDamaged                  what came is not what was sent
"""

from typing import ClassVar


class ClientError(Exception):
    """Root of the tree. The message is one line for a person: what happened, and what to do."""

    code: ClassVar[str] = "failed"
    exit_status: ClassVar[int] = 1


class UsageError(ClientError):
    """An argument that makes no sense: a link cut short, an empty text, a missing file."""

    code, exit_status = "usage", 2


class RelayUnreachable(ClientError):
    """The relay was not reached in the time given. What was to be sent stays in the outbox."""

    code, exit_status = "unreachable", 3


class DistributorUnreachable(ClientError):
    """The push server that was to tell of messages (`listen --wake unifiedpush`) was not reached, or hung up."""

    code, exit_status = "distributor_unreachable", 3


class Refused(ClientError):
    """The relay said no; `reason` is its stable code (docs/protocol.md, "Errors")."""

    code = "refused"

    def __init__(self, reason: str, detail: str, *, retryable: bool = False, retry_after_ms: int = 0) -> None:
        super().__init__(f"{detail} ({reason})")
        self.reason = reason
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms


class UnknownRecipient(ClientError):
    """Nobody has this handle, or its owner does not want to be found by it: ask for a contact link."""

    code = "unknown_recipient"


class NotSent(ClientError):
    """A message that will not go out any more: the recipient's relay refused it for good."""

    code = "not_sent"


class Replaced(ClientError):
    """A newer connection of this device has the mailbox; this one stops listening."""

    code = "replaced"


class DeviceRevoked(ClientError):
    """This device was removed from its account by another one, or by the recovery words; it reads what it has, and no more."""

    code = "device_revoked"


class NotManager(ClientError):
    """This device may not change the list of devices, or who has the history: do it on one that is manager."""

    code = "not_manager"


class LinkFailed(ClientError):
    """The new device did not come into the account: too late, answered before, or somebody said no. Start a new link."""

    code = "link_failed"


class RecoveryImpossible(ClientError):
    """Nothing can be recovered so: no account at this relay has these words, or the account was made before there were words."""

    code = "recovery_impossible"


class BackupOutdated(ClientError):
    """The relay's backup is older than the newest there was: it may hide who was met since. `--accept-older` takes it."""

    code = "backup_outdated"


class BackupRefused(ClientError):
    """The relay's backup was not made by a manager of this account, or is damaged; nothing of it was taken."""

    code = "backup_refused"


class RelayMisbehaved(ClientError):
    """The relay answered what docs/protocol.md does not allow."""

    code = "relay_misbehaved"


class StoreError(ClientError):
    """The own folder or what is in it."""

    code = "store"


class NoAccount(StoreError):
    """No account is registered in this folder."""

    code = "no_account"


class AccountExists(StoreError):
    """This folder has an account already: one account a folder."""

    code = "account_exists"


class LoosePermissions(StoreError):
    """Other users of the machine can read the key file or the store."""

    code = "loose_permissions"


class WrongPassphrase(StoreError):
    """The key of the store is wrapped, and this passphrase does not open it (or none was given)."""

    code = "wrong_passphrase"


class StoreDamaged(StoreError):
    """The store does not open with its key, or its file is not whole."""

    code = "store_damaged"


class StoreTooNew(StoreError):
    """A newer version wrote this store."""

    code = "store_too_new"


class TrustError(ClientError):
    """A key or device list that is not what it must be. Nothing is sent until the user has looked."""

    code = "trust"


class RelayKeyChanged(TrustError):
    """The relay signs with another key than the one in the invite."""

    code = "relay_key_changed"


class DevicesForked(TrustError):
    """Two device lists of one version, both validly signed: somebody shows two views. Both are kept."""

    code = "devices_forked"


class DevicesRefused(TrustError):
    """A device list that breaks a rule of its chain; the one known before stays."""

    code = "devices_refused"


class GroupError(ClientError):
    """A group, and what was to be done in it."""

    code = "group"


class UnknownGroup(GroupError):
    """There is no group of this id here: ask a member to add you."""

    code = "unknown_group"


class NotInGroup(GroupError):
    """This account was removed from the group, or has left it."""

    code = "not_in_group"


class NotEntitled(GroupError):
    """The own role or rights in the group do not allow this."""

    code = "not_entitled"


class CommitImpossible(GroupError):
    """A change that makes no sense in the group as it is: somebody added twice, no owner left."""

    code = "commit_refused"


class GroupTooNew(GroupError):
    """The group uses what this version does not know: reading goes on, writing needs an upgrade."""

    code = "group_too_new"


class GroupNotReady(GroupError):
    """The secret of the group's present epoch, or a change that members know of, has not come; tried again by itself."""

    code = "group_not_ready"


class LogRefused(TrustError):
    """The relay does not prove that what it shows is in its transparency log. It is not believed; told and kept."""

    code = "log_refused"


class LogSplit(LogRefused):
    """The relay signed two heads of its log that cannot both be true. Both are kept."""

    code = "log_split"


class LogRolledBack(LogRefused):
    """The relay answers with an older head of its log than it gave before. Both are kept."""

    code = "log_rolled_back"


class MediaError(ClientError):
    """A file that was to be sent or fetched."""

    code = "media"


class FileUnavailable(MediaError):
    """The relay does not have this file, or not any more."""

    code = "file_unavailable"


class FileDamaged(MediaError):
    """What the relay gave is not what was sent."""

    code = "file_damaged"
