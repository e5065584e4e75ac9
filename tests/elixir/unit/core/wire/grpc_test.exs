defmodule Vllm.Core.Wire.GRPCTest do
  use ExUnit.Case, async: true

  alias Vllm.{Cuts, Error}
  alias Vllm.Core.Wire.GRPC

  describe "push/2" do
    test "returns the messages of one binary in order" do
      bytes = frames(["one", "", "three"])
      assert {:ok, ["one", "", "three"], _grpc} = GRPC.push(%GRPC{}, bytes)
    end

    test "gives the same messages wherever the bytes are cut" do
      messages = for size <- [0, 1, 5, 300, 70_000], do: :crypto.strong_rand_bytes(size)
      bytes = frames(messages)

      for seed <- 1..50 do
        pieces = Cuts.random(bytes, seed)
        assert {^messages, _grpc} = push_all(%GRPC{}, pieces), "cut with seed #{seed}"
      end
    end

    test "takes a message byte by byte" do
      bytes = frames(["hello"])
      pieces = for <<byte::binary-size(1) <- bytes>>, do: byte
      assert {["hello"], _grpc} = push_all(%GRPC{}, pieces)
    end

    test "joins a large message once, however many parts it has" do
      # Joining at each of the 4096 pieces would copy 128 GB.
      message = :binary.copy("x", 64 * 1024 * 1024)
      pieces = Cuts.every(frames([message]), 16 * 1024)
      assert {[^message], _grpc} = push_all(%GRPC{}, pieces)
    end

    test "refuses a message whose announced size is too large" do
      claim = <<0, 0x7FFF_FFFF::32>>
      assert {:error, %Error{kind: :protocol} = error, []} = GRPC.push(%GRPC{}, claim)
      assert error.message =~ "2147483647 bytes"
    end

    test "waits for a message of 256 MB and refuses a larger one" do
      limit = 256 * 1024 * 1024
      assert {:ok, [], waiting} = GRPC.push(%GRPC{}, <<0, limit::32, "x">>)
      assert waiting.need == 5 + limit

      assert {:error, %Error{message: message}, []} =
               GRPC.push(%GRPC{}, <<0, limit + 1::32, "x">>)

      assert message =~ "the limit is #{limit}"
    end

    test "refuses a compressed message, and returns those before it" do
      assert {:error, %Error{kind: :protocol} = error, []} =
               GRPC.push(%GRPC{}, <<1, 3::32, "abc">>)

      assert error.message =~ "compression flag 1"
      bytes = frames(["one"]) <> <<2, 3::32, "abc">>
      assert {:error, %Error{kind: :protocol}, ["one"]} = GRPC.push(%GRPC{}, bytes)
      bytes = frames(["one"]) <> <<0, 0xFFFF_FFFF::32>>
      assert {:error, %Error{kind: :protocol}, ["one"]} = GRPC.push(%GRPC{}, bytes)
    end

    test "keeps what is left of a binary for the next message" do
      <<first::binary-size(12), rest::binary>> = frames(["hello", "world"])
      assert {:ok, ["hello"], grpc} = GRPC.push(%GRPC{}, first)
      assert {:ok, ["world"], grpc} = GRPC.push(grpc, rest)
      assert grpc == %GRPC{}
    end
  end

  describe "error/1" do
    test "names the status and decodes its message" do
      error = GRPC.error([{"grpc-status", "16"}, {"grpc-message", "wrong%20token"}])
      assert error.kind == :unauthenticated
      assert error.details == %{"grpc" => "UNAUTHENTICATED"}
      assert error.message =~ "wrong token"
    end

    # The codes and names are gRPC's.
    for {code, name, kind} <- [
          {1, "CANCELLED", :worker_down},
          {2, "UNKNOWN", :python},
          {3, "INVALID_ARGUMENT", :invalid},
          {4, "DEADLINE_EXCEEDED", :timeout},
          {5, "NOT_FOUND", :not_found},
          {6, "ALREADY_EXISTS", :conflict},
          {7, "PERMISSION_DENIED", :forbidden},
          {8, "RESOURCE_EXHAUSTED", :overloaded},
          {9, "FAILED_PRECONDITION", :protocol},
          {10, "ABORTED", :conflict},
          {11, "OUT_OF_RANGE", :invalid},
          {12, "UNIMPLEMENTED", :protocol},
          {13, "INTERNAL", :protocol},
          {14, "UNAVAILABLE", :worker_down},
          {15, "DATA_LOSS", :protocol},
          {16, "UNAUTHENTICATED", :unauthenticated}
        ] do
      test "the status #{name} is #{inspect(kind)}" do
        trailers = [{"grpc-status", "#{unquote(code)}"}, {"grpc-message", "why"}]
        error = GRPC.error(trailers)
        assert error.kind == unquote(kind)
        assert error.details == %{"grpc" => unquote(name)}
        assert error.message == "the worker ended the session: why"
      end
    end

    test "a session that ends with OK is an error" do
      assert %Error{kind: :worker_down} = error = GRPC.error([{"grpc-status", "0"}])
      assert error.message == "the worker ended the session"
    end

    test "a missing, unknown or malformed status is an error" do
      for trailers <- [
            [],
            [{"grpc-status", "99"}],
            [{"grpc-status", "x"}],
            [{"grpc-status", "0x"}]
          ] do
        assert %Error{kind: :protocol} = error = GRPC.error(trailers)
        assert error.message =~ "without a gRPC status"
      end

      # What cannot be decoded is shown as it came.
      for {message, shown} <- [{"%zz", "%zz"}, {"%ff%fe", ~s("%ff%fe")}, {"%", "%"}] do
        error = GRPC.error([{"grpc-status", "13"}, {"grpc-message", message}])
        assert error.message == "the worker ended the session: #{shown}"
      end
    end
  end

  test "a response of another server names its status" do
    assert %Error{kind: :protocol, message: message} = GRPC.http_error(404)
    assert message =~ "the HTTP status 404"
  end

  defp frames(messages), do: messages |> Enum.map(&GRPC.frame/1) |> IO.iodata_to_binary()

  defp push_all(grpc, pieces) do
    Enum.reduce(pieces, {[], grpc}, fn piece, {messages, grpc} ->
      {:ok, more, grpc} = GRPC.push(grpc, piece)
      {messages ++ more, grpc}
    end)
  end
end
