"""What a judge, a string match and the statistics say of answers: everything evaluate.py tells as one story."""
