"""One module a page, and the list of them. Not named `pages`: Streamlit would take that for the pages themselves."""

# A page's module, which is its address too, its name, and its icon (of Google's Material Symbols, which Streamlit has).
PAGES = (
    ("overview", "Overview", "home"),
    ("transactions", "Transactions", "swap_vert"),
    ("customer", "Customer", "person"),
    ("products", "Products", "shopping_bag"),
    ("payments", "Scheduled payments", "event"),
    ("pipeline", "Pipeline", "monitor_heart"),
)
