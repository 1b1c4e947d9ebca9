"""The tables of what is inside an envelope: the fields of contents and their bodies."""

import msgspec.inspect as shapes

from client import act_bodies, contents, passing_contents, profiles, resends
from client.archive import choice, giving, keys, records
from client.contact_tokens import ContactToken
from client.devices import copies, device_names, shared_items, shared_kinds
from client.groups import bodies as group_bodies
from client.groups import invitations, member_tokens, requests, shared_group
from client.store import shared
from client.transparency import evidence
from docs.markdown import number, snake, span, table


def form(kind: shapes.Type) -> str:
    """The MessagePack form of a field."""
    match kind:
        case shapes.BytesType():
            return f"bin {span(kind.min_length, kind.max_length)} B"
        case shapes.StrType():
            return f"str {span(kind.min_length or 0, kind.max_length)} characters"
        case shapes.IntType():
            return f"int {span(kind.ge, kind.le)}"
        case shapes.NoneType():
            return "nil"
        case shapes.BoolType():
            return "bool"
        case shapes.VarTupleType():
            return f"array of {span(kind.min_length or 0, kind.max_length)} × {form(kind.item_type)}"
        case shapes.ListType():
            return f"array of {span(kind.min_length or 0, kind.max_length)} × {form(kind.item_type)}"
        case shapes.LiteralType():
            return " or ".join(f"`{value}`" for value in kind.values)
        case shapes.RawType():
            return "by type"
        case shapes.StructType():
            return snake(kind.cls.__name__)
        case shapes.UnionType():
            return " or ".join(form(choice) for choice in kind.types)
        case _:
            raise TypeError(f"no form is known for {kind}")


def _rows(cls: type) -> list[list[str]]:
    kind = shapes.type_info(cls)
    if not isinstance(kind, shapes.StructType):
        raise TypeError(f"{cls} is no array")
    return [
        [number(place), f"`{field.name}`", form(field.type)] for place, field in enumerate(kind.fields, 1)
    ]


def contents_table() -> str:
    """The array of a content, the introduction in it, and the bodies by type."""
    heads = ["#", "field", "MessagePack"]
    named = (
        contents.Content,
        contents.Introduction,
        contents.BackupHeads,
        contents.Reference,
        contents.FilePointer,
        act_bodies.ReceiptEntry,
        member_tokens.TokenPair,
        giving.Gift,
    )
    parts = [f"**{snake(cls.__name__)}**\n\n{table(heads, _rows(cls))}" for cls in named]
    bodies = {
        contents.ContentType.EMPTY: "nil",
        contents.ContentType.TEXT: _body(contents.Text),
        contents.ContentType.FILE: _body(contents.FilePointer),
        contents.ContentType.COPY: _body(copies.Copy),
        contents.ContentType.SHARED_ITEMS: _body(shared_items.SharedItems),
        contents.ContentType.HISTORY_KEYS: _body(giving.HistoryKeysBody),
        contents.ContentType.REACTION: _body(act_bodies.ReactionBody),
        contents.ContentType.EDIT: _body(act_bodies.EditBody),
        contents.ContentType.DELETE: _body(act_bodies.DeleteBody),
        contents.ContentType.RECEIPT: _body(act_bodies.ReceiptBody),
        contents.ContentType.GROUP_INVITATION: _body(invitations.InvitationBody),
        contents.ContentType.GROUP_JOIN: _body(invitations.JoinBody),
        contents.ContentType.GROUP_REQUEST: _body(requests.RequestBody),
        contents.ContentType.GROUP_TOKENS: _body(member_tokens.TokensBody),
        contents.ContentType.GROUP_WELCOME: _body(group_bodies.WelcomeBody),
        contents.ContentType.GROUP_SECRETS: _body(group_bodies.SecretsBody),
        contents.ContentType.GROUP_CHAIN: _body(group_bodies.ChainBody),
        contents.ContentType.GROUP_ASK: _body(group_bodies.AskBody),
        contents.ContentType.GROUP_COMMIT: _body(group_bodies.CommitBody),
        contents.ContentType.CONTACT_TOKEN: _body(ContactToken),
        contents.ContentType.PROFILE_KEY: _body(profiles.ProfileKey),
        contents.ContentType.MANIFEST_EVIDENCE: _body(evidence.ManifestEvidence),
        contents.ContentType.TYPING: _body(passing_contents.TypingBody),
        contents.ContentType.PRESENCE: _body(passing_contents.PresenceBody),
        contents.ContentType.RESEND: _body(resends.ResendBody),
    }
    types = [[number(kind), f"`{kind.name.lower()}`", bodies[kind]] for kind in contents.ContentType]
    return "\n".join([*parts, table(["type", "", "body"], types)])


def shared_items_table() -> str:
    """The array of an item, and the values by the beginning of their key."""
    heads = ["#", "field", "MessagePack"]
    rows = [
        [f"`{shared_kinds.CONTACT}/`account id", _body(shared_kinds.SharedContact)],
        [f"`{shared_kinds.TOKEN}/`class", form(shapes.type_info(shared_kinds.TokenBytes))],
        [f"`{device_names.PREFIX}/`device id", _body(device_names.DeviceName)],
        [f"`{shared_kinds.HANDLE}`", form(shapes.type_info(shared_kinds.Handle | None))],
        [f"`{shared_kinds.RELAY_KEY}`", "bin 32 B"],
        [f"`{shared_kinds.GROUP}/`group id", _body(shared_group.SharedGroup)],
        [
            f"`{shared_kinds.CHAIN}/`account id",
            "array of signed manifests, a bin each, as in a set-up envelope",
        ],
        ["`setting/device_silence_days`", "int 0–3,650"],
        ["`setting/history_archive`", _body(choice.ArchiveSetting)],
        [f"`{choice.SEALED_KEYS}`", _body(keys.SealedKeys)],
    ]
    named = (shared.Item, shared_group.Committer)
    parts = [f"**{snake(cls.__name__)}**\n\n{table(heads, _rows(cls))}" for cls in named]
    return "\n".join([*parts, table(["key", "value"], rows)])


def archive_table() -> str:
    """The array of an entry's content, and the records by their kind."""
    heads = ["#", "field", "MessagePack"]
    kinds = records.MessageRecord, records.EditRecord, records.ReactionRecord, records.DeletionRecord
    rows = [
        [number(kind.__struct_config__.tag), snake(kind.__name__), _body(kind)]  # type: ignore[attr-defined]
        for kind in kinds
    ]
    content = table(heads, _rows(records.ArchiveContent))
    return f"**archive_content**\n\n{content}\n{table(['kind', '', 'record, after its kind'], rows)}"


def _body(cls: type) -> str:
    return "array of " + "; ".join(f"{name} {shape}" for _, name, shape in _rows(cls))
