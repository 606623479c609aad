"""Opening video files: which formats and which track are read, and whether a file ends where it says."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition

from vsdb.errors import VideoError
from vsdb.media.files import check_readable

# No playlists and no lists of files (concat, hls, dash, sdp, image2 ...), which would lead to other files.
FORMATS = (
    "3gp,amv,apng,asf,av1,avi,avs2,avs3,bink,cavsvideo,dhav,dirac,dnxhd,dv,evc,film_cpk,flic,flv,gif,gxf,h261,h263,h264,"
    "hevc,ivf,ivr,kux,live_flv,lmlm4,lxf,m4v,matroska,mjpeg,mjpeg_2000,mlv,mov,mp4,mpeg,mpegts,mpegvideo,mpjpeg,mv,mvi,"
    "mxf,nsv,nut,nuv,obu,ogg,pva,r3d,rm,roq,rpl,ser,siff,smjpeg,smk,swf,ty,vc1,vc1test,vivo,vvc,webm,wtv,xmv,yuv4mpegpipe"
)
MAX_PIXELS = 1 << 27  # of a frame: 12K is 80 million; a damaged header can say anything
STILLS = frozenset({"png", "mjpeg", "bmp", "tiff", "webp", "gif", "jpeg2000"})
NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails
CHUNK_HEAD_BYTES = 24
EPOCH_YEAR = 1970


def open_container(path: Path) -> InputContainer:
    """Open a file to be read, as one of the formats that hold all they need; its text need not be UTF-8.

    Raises:
        VideoError: it is missing, unreadable, or of no such format.
    """
    check_readable(path)
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise VideoError("the file's name is not valid UTF-8; rename it") from None
    try:
        return av.open(
            f"file:{path}",
            metadata_errors="replace",
            options={"max_pixels": str(MAX_PIXELS)},
            container_options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
        )
    except av.ArgumentError:
        raise VideoError("not a video, but a playlist, a picture or another kind of file that is not read") from None
    except av.FFmpegError as error:
        raise VideoError(f"not a video: {error.strerror} (is the file whole?)") from None


def choose_track(container: InputContainer) -> tuple[Any, str | None]:
    """The picture track to read, and what is to be said of the choice: the default one, else the largest.

    Raises:
        VideoError: there is none, none can be decoded, or it is encrypted.
    """
    tracks: list[Any] = [track for track in container.streams.video if not track.disposition & NO_VIDEO]
    if not tracks:
        raise VideoError("not a video: no picture track" + (" but cover art" if container.streams.video else ""))
    readable = [track for track in tracks if track.codec_context is not None]
    if not readable:
        raise VideoError("its pictures are of a codec that cannot be decoded")
    track = max(readable, key=_rank)
    if track.codec_context.codec_tag == "encv" or "enc_key_id" in track.metadata:
        raise VideoError("the video is encrypted")
    if len(tracks) == 1:
        return track, None
    kind = f"{track.codec_context.codec.canonical_name}, {track.width}x{track.height}"
    return track, f"read track {track.index + 1} ({kind}) of its {len(tracks)} picture tracks"


def _rank(track: Any) -> tuple[bool, bool, int]:
    is_moving = track.frames != 1 and track.codec_context.codec.canonical_name not in STILLS
    return is_moving, bool(track.disposition & Disposition.default), track.width * track.height


def recorded_at(path: Path) -> datetime | None:
    """When the recording began, as the container says; None where it does not say, or says nothing sensible."""
    try:
        with open_container(path) as container:
            said = container.metadata.get("creation_time", "")
        time = datetime.fromisoformat(said.replace("Z", "+00:00"))
    except (VideoError, ValueError):
        return None
    time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return time if time.year > EPOCH_YEAR else None  # unset clocks say 1904 (QuickTime) or 1970


def declared_end(stream: Any) -> float:
    """Where the header says that the pictures end, in seconds of the container's clock."""
    if stream.duration is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    return ((stream.container.start_time or 0) + (stream.container.duration or 0)) / av.time_base


def missing_bytes(path: Path) -> int:
    """How far a file's outermost chunks (MP4 boxes, EBML elements, RIFF, ASF objects) reach beyond its end."""
    size = path.stat().st_size
    start = 0
    with path.open("rb") as file:
        while start < size:
            file.seek(start)
            length = _chunk_bytes(file.read(CHUNK_HEAD_BYTES))
            if length < 8:  # unknown, or up to the end of the file
                return 0
            start += length
    return start - size


def _chunk_bytes(head: bytes) -> int:
    """Length of the chunk that begins with these bytes; 0 where they do not tell."""
    if head[:4] == b"RIFF":
        return 8 + int.from_bytes(head[4:8], "little")
    if head[:4] in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):  # EBML and Matroska's segment; a size of ones is unknown
        extra = 8 - head[4].bit_length() if len(head) > 4 else 0
        value = int.from_bytes(head[4 : 5 + extra], "big") & ((1 << 7 * (extra + 1)) - 1)
        return 0 if value == (1 << 7 * (extra + 1)) - 1 else 5 + extra + value
    if head[:4] in (b"0&\xb2u", b"6&\xb2u"):  # ASF's header and data
        return int.from_bytes(head[16:24], "little")
    if not head[4:8].isalnum():
        return 0
    return int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
