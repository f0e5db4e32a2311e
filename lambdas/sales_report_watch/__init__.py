"""The function that watches over the daily sales report."""
