"""A summary as a secondary capture: a picture that every viewer shows, also one that knows no structured reports."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pypdfium2
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from usdlr.core.errors import DataError
from usdlr.core.hashing import bytes_hash
from usdlr.review.dicom import codes
from usdlr.review.dicom.source import INHERITED, SourceImage
from usdlr.review.records import AxillaRecord

PNG = b"\x89PNG\r\n\x1a\n"
# A page of A4 at 300 dots per inch has nine million pixels.
MAX_PIXELS, MAX_BYTES = 16_000_000, 64 << 20
_DPI, _POINTS_PER_INCH = 144, 72


def sc_dataset(
    record: AxillaRecord,
    source: SourceImage,
    page: bytes,
    *,
    number: int = 1,
    burned_in: bool = True,
    made: datetime | None = None,
) -> Dataset:
    """A rendered page as a Secondary Capture Image in the source's study, RGB with 8 bits per channel.

    Parameters
    ----------
    record : AxillaRecord
        The axilla.
    source : SourceImage
        Patient and study are taken over from it.
    page : bytes
        The page as PNG.
    number : int
        Of the page, from 1: the InstanceNumber. Two pages that look alike are still two instances.
    burned_in : bool
        Whether the page shows who the patient is; said in the header, so that nobody shares it as anonymous.
    made : datetime, optional
        When; equal arguments give equal bytes. By default now.

    Raises
    ------
    DataError
        If the page is no PNG, or too large.

    References
    ----------
    DICOM PS3.3, A.8.1 (Secondary Capture Image IOD).
    """
    made = made or datetime.now(UTC)
    pixels = page_pixels(page)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in INHERITED:
        if keyword in source.dataset and keyword not in ("LossyImageCompression", "Modality"):
            setattr(dataset, keyword, source.dataset[keyword].value)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = codes.uid_from(
        "sc", str(source.dataset.SOPInstanceUID), record.digest, str(number), bytes_hash(page), str(made)
    )
    dataset.SeriesInstanceUID = codes.uid_from("sc series", str(source.dataset.SeriesInstanceUID), record.digest)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ConversionType = "WSD"
    dataset.Modality = "OT"
    dataset.SeriesNumber, dataset.InstanceNumber = 803, number
    dataset.SeriesDescription = "usdlr summary, research only"
    dataset.PatientOrientation = ""
    if record.side in codes.LATERALITY:
        dataset.Laterality = codes.LATERALITY[record.side]
    dataset.BurnedInAnnotation = "YES" if burned_in else "NO"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB"
    codes.stamp(dataset, made, coded=False)
    return dataset


def page_pixels(page: bytes) -> npt.NDArray[np.uint8]:
    """A PNG as uint8 array (rows, columns, 3), what is transparent on white.

    Raises
    ------
    DataError
        If it is no PNG, or too large.
    """
    if not page.startswith(PNG) or len(page) > MAX_BYTES:
        raise DataError(f"found a page of {len(page)} bytes, expected a PNG of at most {MAX_BYTES}; render it again")
    try:
        with Image.open(io.BytesIO(page), formats=["PNG"]) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise DataError(
                    f"found a page of {opened.height} x {opened.width} pixels (rows x columns), expected at most "
                    f"{MAX_PIXELS}; render it smaller"
                )
            picture = opened.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"found a page that cannot be decoded ({type(error).__name__}), expected a PNG; render it again"
        ) from None
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, picture).convert("RGB"), dtype=np.uint8)


def page_pngs(pdf: bytes) -> list[bytes]:
    """The pages of a PDF as pictures, in their order.

    Parameters
    ----------
    pdf : bytes
        As made by :func:`usdlr.review.paper.axilla_pdf`.

    Returns
    -------
    list of bytes
        A PNG of each, 144 pixels per inch.
    """
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [_png(document[at]) for at in range(len(document))]
    finally:
        document.close()


def _png(page: pypdfium2.PdfPage) -> bytes:
    target = io.BytesIO()
    page.render(scale=_DPI / _POINTS_PER_INCH).to_pil().convert("RGB").save(target, "PNG")
    return target.getvalue()
