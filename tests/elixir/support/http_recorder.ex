defmodule Vllm.HttpRecorder do
  @moduledoc false
  # An HTTP server that answers every request in the same way, and tells the test of each: it stands
  # for a vLLM or an Ollama that fails, is slow, or ends.
  #
  #     {url, server} = HttpRecorder.start({200, ~s({"choices": []})})
  #     assert_receive {:request, path, body}
  #
  # `:never` keeps the connection open without an answer; `{:closed, path}` is sent when the client
  # has closed it. The server ends with the test.

  @type answer :: {status :: pos_integer(), body :: String.t()} | :never

  @spec start(answer()) :: {String.t(), pid()}
  def start(answer) do
    test = self()
    options = [:binary, packet: :raw, active: false, reuseaddr: true, ip: {127, 0, 0, 1}]
    {:ok, listener} = :gen_tcp.listen(0, options)
    {:ok, port} = :inet.port(listener)
    server = spawn_link(fn -> receive(do: (:go -> accept(listener, answer, test))) end)
    :ok = :gen_tcp.controlling_process(listener, server)
    send(server, :go)
    {"http://127.0.0.1:#{port}/v1", server}
  end

  @doc "The body of a chat completion."
  def completion(text) do
    ~s({"model": "served", "usage": {"total_tokens": 7},) <>
      ~s( "choices": [{"message": {"content": "#{text}"}, "finish_reason": "stop"}]})
  end

  defp accept(listener, answer, test) do
    {:ok, socket} = :gen_tcp.accept(listener)
    handler = spawn_link(fn -> receive(do: (:go -> serve(socket, answer, test))) end)
    :ok = :gen_tcp.controlling_process(socket, handler)
    send(handler, :go)
    accept(listener, answer, test)
  end

  defp serve(socket, answer, test) do
    {path, body} = request(socket, "")
    send(test, {:request, path, body})
    reply(socket, answer, path, test)
  end

  defp request(socket, read) do
    with [head, body] <- String.split(read, "\r\n\r\n", parts: 2),
         [_, length] = Regex.run(~r/content-length: (\d+)/i, head),
         true <- byte_size(body) == String.to_integer(length) do
      [_post, path | _] = String.split(head, " ")
      {path, body}
    else
      _more ->
        {:ok, data} = :gen_tcp.recv(socket, 0)
        request(socket, read <> data)
    end
  end

  defp reply(socket, :never, path, test) do
    {:error, :closed} = :gen_tcp.recv(socket, 0)
    send(test, {:closed, path})
  end

  defp reply(socket, {status, body}, _path, _test) do
    head = "HTTP/1.1 #{status} Status\r\nConnection: close\r\nContent-Length: #{byte_size(body)}"
    :ok = :gen_tcp.send(socket, [head, "\r\n\r\n", body])
    :gen_tcp.close(socket)
  end
end
