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

    test "refuses a compressed message" do
      assert {:error, %Error{kind: :protocol}, []} = GRPC.push(%GRPC{}, <<1, 3::32, "abc">>)
    end
  end

  describe "error/1" do
    test "names the status and decodes its message" do
      error = GRPC.error([{"grpc-status", "16"}, {"grpc-message", "wrong%20token"}])
      assert error.kind == :unauthenticated
      assert error.details == %{"grpc" => "UNAUTHENTICATED"}
      assert error.message =~ "wrong token"
    end

    test "the status UNAVAILABLE is :worker_down" do
      assert %Error{kind: :worker_down} = GRPC.error([{"grpc-status", "14"}])
      assert %Error{kind: :worker_down} = GRPC.error([{"grpc-status", "1"}])
    end

    test "a session that ends with OK is an error" do
      assert %Error{kind: :worker_down} = GRPC.error([{"grpc-status", "0"}])
    end

    test "a missing, unknown or malformed status is an error" do
      for trailers <- [[], [{"grpc-status", "99"}], [{"grpc-status", "x"}]] do
        assert %Error{kind: :protocol} = GRPC.error(trailers)
      end

      for message <- ["%zz", "%ff%fe", "%"] do
        assert %Error{} = GRPC.error([{"grpc-status", "13"}, {"grpc-message", message}])
      end
    end
  end

  defp frames(messages), do: messages |> Enum.map(&GRPC.frame/1) |> IO.iodata_to_binary()

  defp push_all(grpc, pieces) do
    Enum.reduce(pieces, {[], grpc}, fn piece, {messages, grpc} ->
      {:ok, more, grpc} = GRPC.push(grpc, piece)
      {messages ++ more, grpc}
    end)
  end
end
