"""What is bought: most, how that goes, and each product's share."""

from __future__ import annotations

import streamlit as st

from dashboard import show
from dashboard.ask import ask
from dashboard.show import Column

TOP = 10


def page() -> None:
    """Draw the page."""
    st.title("Products")
    days = show.period()
    product = show.choice("Product", "products")
    by_product, by_day = ask("sales_by_product", "sales_by_day", **days, product=product)
    by_product = by_product.sort_values(["quantity_sold", "product"], ascending=[False, True], ignore_index=True)
    by_product["share"] = show.share_of_all(by_product, "quantity_sold")
    show.figures(
        {
            "Sold": show.number(by_product.quantity_sold.sum()),
            "Purchases": show.number(by_product.purchases.sum()),
            "Products": show.number(len(by_product)),
        }
    )
    if len(by_product) > 1:
        st.header("Top sellers")
        show.bars(by_product.head(TOP), "product", "quantity_sold", f"The {TOP} products that sold most, and how many.")
    if len(by_day):
        st.header("Trend")
        show.lines(by_day, "purchase_date", {"quantity_sold": "Sold"}, "How many were sold, by day.")
    empty = "Nothing was bought in this period."
    show.table(
        by_product,
        {
            "product": Column("Product"),
            "quantity_sold": Column("Sold", show.number),
            "share": Column("Share", show.share),
            "purchases": Column("Purchases", show.number),
        },
        "Sales by product",
        empty=empty,
    )
    show.table(
        by_day.iloc[::-1],
        {
            "purchase_date": Column("Day", show.day),
            "quantity_sold": Column("Sold", show.number),
            "purchases": Column("Purchases", show.number),
        },
        "Sales by day",
        empty=empty,
    )
