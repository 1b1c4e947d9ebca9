"""A QR code for a terminal."""

import io


def qr(payload: bytes | str) -> str:
    """The code in half blocks, for a dark or light terminal alike."""
    import segno

    text = io.StringIO()
    segno.make(payload, error="m", micro=False).terminal(out=text, compact=True)
    return text.getvalue()
