"""What a small tool has: pages, a database, another site's API, pictures."""

import io

import requests
from flask import Flask
from PIL import Image
from sqlalchemy import create_engine, text

app = Flask(__name__)
database = create_engine("sqlite://")
session = requests.Session()


@app.get("/")
def hello():
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with database.connect() as connection:
        one = connection.execute(text("select 1")).scalar_one()
    return f"hello from flask-libraries, {one} row, {len(picture.getvalue())} bytes\n"
