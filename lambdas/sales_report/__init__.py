"""Makes the daily sales report and mails it."""
