defmodule Vllm.Bridge.Examples.ChatPageTest do
  # The web page among the examples, without a browser: what its server sends, and when it ends the
  # request in the engine. `make test-browser` drives the page itself.
  use ExUnit.Case, async: true

  @moduletag :bridge

  folder = "elixir/examples/web"

  for file <- ["chat.ex", "http.ex", "connection.ex", "chat_page.ex"],
      do: Code.require_file(file, folder)

  setup_all context, do: %{worker: Vllm.Test.start_worker!(context)}

  setup %{worker: worker} do
    engine = Vllm.Test.engine!(worker)
    page = start_supervised!({ChatPage, engine: engine, title: "Test", chat: [max_tokens: 100]})
    %{engine: engine, port: ChatPage.port(page)}
  end

  test "the page is served, with its title", %{port: port} do
    response = request(port, "GET", "/")
    assert response =~ ~r"^HTTP/1.1 200 OK\r\n.*content-type: text/html"s
    assert response =~ "<title>Test · vllm_bridge</title>"
  end

  test "an answer is sent as events, and lines of text stay lines", %{engine: engine, port: port} do
    Vllm.Test.reply(engine, "Hello", ["Hi", "\nyou\n", " there"])
    response = request(port, "POST", "/chat", "user=Hello")
    assert response =~ "content-type: text/event-stream"
    [_head, body] = String.split(response, "\r\n\r\n", parts: 2)

    assert events(body) == [
             {"token", "1", "Hi"},
             {"token", "2", "\nyou\n"},
             {"token", "3", " there"},
             {"done", "3", "tokens=3&prompt_tokens=12&reason=stop"}
           ]
  end

  test "the whole conversation reaches the engine", %{engine: engine, port: port} do
    request(port, "POST", "/chat", "user=a%26b&assistant=%C3%A9&system=no&user=c+d")

    assert Vllm.Test.assert_chatted(engine).messages == [
             %{"role" => "user", "content" => "a&b"},
             %{"role" => "assistant", "content" => "é"},
             %{"role" => "user", "content" => "c d"}
           ]
  end

  test "the request ends when the browser closes the connection", %{engine: engine, port: port} do
    Vllm.Test.reply(engine, "Hello", "one two three", hold: 1)
    socket = send_request(port, "POST", "/chat", "user=Hello")
    assert receive_until(socket, "data: one\n") =~ "event: token"
    Vllm.Test.assert_live(engine, 1)
    assert request(port, "GET", "/status") =~ ~r/\r\n\r\n1$/

    :gen_tcp.close(socket)
    Vllm.Test.assert_aborted(engine, Vllm.Test.assert_chatted(engine).request_id)
    Vllm.Test.assert_live(engine, 0)
    assert request(port, "GET", "/status") =~ ~r/\r\n\r\n0$/
  end

  test "a failure is an event", %{engine: engine, port: port} do
    Vllm.Test.reply(engine, "Hello", ["Hi"], then: {:fail, {:engine_error, "no memory"}})
    response = request(port, "POST", "/chat", "user=Hello")
    assert response =~ "data: Hi\n"
    assert response =~ ~r/event: failed\nid: 1\ndata: no memory\n\n$/
    Vllm.Test.refuse_admission(engine)
    assert request(port, "POST", "/chat", "user=Hi") =~ ~r/event: failed\n.*\n.*is full/
  end

  test "what is no request is refused, and the page goes on", %{engine: engine, port: port} do
    assert request(port, "GET", "/other") =~ "HTTP/1.1 404"
    assert raw(port, "no HTTP\r\n\r\n") =~ "HTTP/1.1 400"
    assert raw(port, "GET / HTTP/1.1\r\nhost: elsewhere.example\r\n\r\n") =~ "HTTP/1.1 403"
    assert raw(port, head(port, "POST", "/chat", "content-length: 999999999\r\n")) =~ " 413 "
    assert raw(port, head(port, "POST", "/chat", "content-length: -1\r\n")) =~ " 400 "
    foreign = "origin: http://elsewhere.example\r\ncontent-length: 0\r\n"
    assert raw(port, head(port, "POST", "/chat", foreign)) =~ " 403 "
    assert request(port, "POST", "/chat", "assistant=x") =~ "the last message is no question"
    assert request(port, "POST", "/chat", "user=%FF") =~ "event: failed"
    assert Vllm.Test.chats(engine) == []
    assert request(port, "GET", "/") =~ "HTTP/1.1 200"
  end

  test "a port in use is an error of the start", %{engine: engine, port: port} do
    Process.flag(:trap_exit, true)

    ExUnit.CaptureLog.capture_log(fn ->
      assert {:error, {%RuntimeError{message: message}, _trace}} =
               ChatPage.start_link(engine: engine, port: port)

      assert message =~ "address already in use"
    end)
  end

  defp request(port, method, path, body \\ "") do
    socket = send_request(port, method, path, body)
    receive_all(socket)
  end

  defp send_request(port, method, path, body) do
    connect(port, [head(port, method, path, "content-length: #{byte_size(body)}\r\n"), body])
  end

  defp head(port, method, path, headers),
    do: "#{method} #{path} HTTP/1.1\r\nHost: 127.0.0.1:#{port}\r\n#{headers}\r\n"

  defp raw(port, text), do: port |> connect(text) |> receive_all()

  defp connect(port, data) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
    :ok = :gen_tcp.send(socket, data)
    socket
  end

  defp receive_all(socket, received \\ "") do
    case :gen_tcp.recv(socket, 0, 60_000) do
      {:ok, data} -> receive_all(socket, received <> data)
      {:error, :closed} -> received
    end
  end

  defp receive_until(socket, wanted, received \\ "") do
    if received =~ wanted do
      received
    else
      {:ok, data} = :gen_tcp.recv(socket, 0, 60_000)
      receive_until(socket, wanted, received <> data)
    end
  end

  defp events(body) do
    for event <- String.split(body, "\n\n", trim: true) do
      ["event: " <> name, "id: " <> id | data] = String.split(event, "\n")
      {name, id, Enum.map_join(data, "\n", fn "data: " <> line -> line end)}
    end
  end
end
