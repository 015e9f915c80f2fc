// The server sends the list anew whenever it has changed: see `live` in views.py.
const orders = document.querySelector("#orders");

new EventSource(orders.dataset.live).onmessage = ({ data }) => {
  const pending = new Set(Array.from(orders.querySelectorAll(".event.pending"), (event) => event.id));
  orders.innerHTML = JSON.parse(data);
  for (const event of orders.querySelectorAll(".event.published")) {
    event.classList.toggle("just-published", pending.has(event.id));
  }
};
