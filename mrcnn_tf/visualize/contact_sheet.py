"""Many pictures on one sheet."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def contact_sheet(
    pictures: Sequence[Image.Image],
    captions: Sequence[str] | None = None,
    columns: int = 4,
    gap: int = 8,
) -> Image.Image:
    """Puts pictures in rows, each in the middle of a field that the largest one fits.

    Args:
        pictures: at least one.
        captions: a line below each, as long as the field is wide.
        columns: pictures in a row.
        gap: pixels between them and around them.

    Returns:
        An RGB image.

    Raises:
        ValueError: there is no picture, or not a caption for each.

    Example:

    ```python
    contact_sheet(draw_batch(x, y), ["first", "second"]).save("batch.png")
    ```
    """
    if not pictures:
        raise ValueError("a contact sheet needs a picture")
    if captions is not None and len(captions) != len(pictures):
        raise ValueError(f"{len(pictures)} pictures need as many captions, not {len(captions)}")
    font = ImageFont.load_default(size=14)
    line = sum(font.getmetrics()) if captions else 0
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    size = columns * (width + gap) + gap, rows * (height + line + gap) + gap
    sheet = Image.new("RGB", size, _PAPER)
    canvas = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        left, top = gap + column * (width + gap), gap + row * (height + line + gap)
        sheet.paste(picture, (left + (width - picture.width) // 2, top + height - picture.height))
        if captions:
            place = left + width / 2, top + height
            canvas.text(place, captions[number], fill=_INK, font=font, anchor="ma")
    return sheet
