"""The page's frame: what `streamlit run` runs."""

import numpy as np
import streamlit as st
from PIL import Image

from pmf.app import contrast, explore, for_you, quality, workshop
from pmf.app.state import complain, current
from pmf.errors import InputError

# A picture, not a name: Streamlit would fetch the picture of a name from another host.
ROWS = np.cos(np.arange(32) / 5)
ICON = Image.fromarray((127 + 60 * np.outer(ROWS, ROWS[::-1])).astype(np.uint8))
st.set_page_config("pmf: a movie recommender", ICON, layout="wide")

PAGES = [
    st.Page(
        for_you.show, title="For you", icon=":material/star:", url_path="for-you", default=True
    ),
    st.Page(contrast.show, title="Three ways", icon=":material/balance:", url_path="three-ways"),
    st.Page(explore.show, title="Explore", icon=":material/map:", url_path="explore"),
    st.Page(quality.show, title="How good is it", icon=":material/monitoring:", url_path="quality"),
    st.Page(workshop.show, title="Model", icon=":material/tune:", url_path="model"),
]

page = st.navigation(PAGES)
try:
    shown = current()
    st.sidebar.caption(f"Model: {shown.name}; {len(shown.table):,} films")
    page.run()
except InputError as error:
    complain(error)
